#include "control/cli/junit.h"

#include <map>
#include <pugixml.hpp>
#include <sstream>

namespace sallyport {
namespace {

/// XML 1.0 has no way to write a control character.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool control = static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n';
    if (control) {
      out += "\xef\xbf\xbd";
    } else {
      out += c;
    }
  }
  return out;
}

void count_up(pugi::xml_node node, const char* name, unsigned by) {
  node.attribute(name).set_value(node.attribute(name).as_uint() + by);
}

pugi::xml_node append_suite(pugi::xml_node root, const PolicyTestSuite& suite) {
  auto node = root.append_child("testsuite");
  node.append_attribute("name") = printable(suite.name).c_str();
  node.append_attribute("file") = printable(suite.place.file).c_str();
  node.append_attribute("tests") = 0;
  node.append_attribute("failures") = 0;
  return node;
}

void append_test(pugi::xml_node suite, const PolicyTestResult& result) {
  auto node = suite.append_child("testcase");
  node.append_attribute("classname") = printable(result.suite->name).c_str();
  node.append_attribute("name") = printable(result.test->name).c_str();
  node.append_attribute("file") = printable(result.test->place.file).c_str();
  node.append_attribute("line") = result.test->place.line;
  count_up(suite, "tests", 1);
  if (result.passed) return;
  count_up(suite, "failures", 1);
  auto failure = node.append_child("failure");
  const std::string message = "expected " + result.expected + ", got " + result.got;
  failure.append_attribute("message") = printable(message).c_str();
  std::string text = result.flow;
  for (const std::string& line : result.why) text += "\n" + line;
  failure.text().set(printable(text).c_str());
}

}  // namespace

std::string junit_xml(std::span<const PolicyTestResult> results) {
  pugi::xml_document document;
  auto root = document.append_child("testsuites");
  std::map<const PolicyTestSuite*, pugi::xml_node> suites;
  for (const PolicyTestResult& result : results) {
    auto& suite = suites[result.suite];
    if (!suite) suite = append_suite(root, *result.suite);
    append_test(suite, result);
  }
  std::ostringstream out;
  document.save(out, "  ");
  return out.str();
}

}  // namespace sallyport
