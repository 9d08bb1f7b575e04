#include "control/common/json_text.h"

namespace sallyport {

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string dump_pretty(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace);
}

Json diagnostics_json(std::span<const Diagnostic> diagnostics) {
  Json list = Json::array();
  for (const Diagnostic& one : diagnostics) {
    list.push_back({{"file", one.file},
                    {"line", one.line},
                    {"column", one.column},
                    {"code", one.code},
                    {"severity", to_string(one.severity)},
                    {"message", one.message},
                    {"hint", one.hint}});
  }
  return list;
}

std::vector<Diagnostic> diagnostics_from_json(const Json& list) {
  std::vector<Diagnostic> out;
  if (!list.is_array()) return out;
  for (const Json& one : list) {
    out.push_back({.file = text_member(one, "file"),
                   .line = static_cast<unsigned>(number_member(one, "line")),
                   .column = static_cast<unsigned>(number_member(one, "column")),
                   .code = text_member(one, "code"),
                   .message = text_member(one, "message"),
                   .hint = text_member(one, "hint"),
                   .severity = text_member(one, "severity") == "warning"
                                   ? Diagnostic::Severity::warning
                                   : Diagnostic::Severity::error});
  }
  return out;
}

Json cores_json(std::span<const CorePolicy> cores) {
  Json list = Json::array();
  for (const CorePolicy& one : cores) {
    list.push_back({{"core", one.core},
                    {"revision", revision_text(one.revision)},
                    {"generation", one.generation}});
  }
  return list;
}

std::string text_member(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

uint64_t number_member(const Json& object, const char* key) {
  if (!object.is_object()) return 0;
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

}  // namespace sallyport
