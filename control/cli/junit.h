#pragma once

#include <span>
#include <string>

#include "policy/compile/policy_test.h"

namespace sallyport {

/// Results as JUnit XML, a testsuite for each PolicyTest document. Characters that XML cannot hold
/// become U+FFFD.
std::string junit_xml(std::span<const PolicyTestResult> results);

}  // namespace sallyport
