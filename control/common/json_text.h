#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "policy/runtime/frames.h"
#include "policy/yaml/document.h"

namespace sallyport {

/// Keeps keys in the order written: people read these lines too.
using Json = nlohmann::ordered_json;

/// One line. Bytes that are not UTF-8 become U+FFFD: text from files and sockets never throws.
std::string dump(const Json& value);

/// As dump(), indented, for people.
std::string dump_pretty(const Json& value);

/// [{file, line, column, code, severity, message, hint}]; severity is "error" or "warning".
Json diagnostics_json(std::span<const Diagnostic> diagnostics);

/// The reverse, forgiving: a missing or odd member reads as empty.
std::vector<Diagnostic> diagnostics_from_json(const Json& list);

/// [{core, revision, generation}].
Json cores_json(std::span<const CorePolicy> cores);

/// object[key] as a string, or "" when it is missing or something else.
std::string text_member(const Json& object, const char* key);

/// object[key] as a number, or 0 when it is missing or something else.
uint64_t number_member(const Json& object, const char* key);

}  // namespace sallyport
