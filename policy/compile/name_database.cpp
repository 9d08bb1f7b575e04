#include "policy/compile/name_database.h"

#include <hs/hs.h>

#include <cstdlib>
#include <memory>

#include "policy/runtime/framed_name.h"

namespace sallyport {
namespace {

struct FreeDatabase {
  void operator()(hs_database_t* database) const noexcept { hs_free_database(database); }
};
struct FreeError {
  void operator()(hs_compile_error_t* error) const noexcept { hs_free_compile_error(error); }
};
struct FreeMemory {
  void operator()(char* memory) const noexcept { std::free(memory); }
};

/// Not the compiling host's CPU: an image made on one node must load on all of them.
constexpr hs_platform_info_t project_platform() {
  hs_platform_info_t platform{};
  platform.tune = HS_TUNE_FAMILY_GENERIC;
#ifdef __AVX2__
  platform.cpu_features = HS_CPU_FEATURES_AVX2;
#endif
  return platform;
}

}  // namespace

std::string literal_of(const DomainPattern& pattern) {
  FramedName framed;
  if (!framed.assign(pattern.name)) return "";
  std::string out(framed.exact());
  if (pattern.wildcard) out.back() = '.';  // In place of the end: more labels must follow.
  return out;
}

std::expected<std::vector<uint8_t>, std::string> compile_names(
    const std::vector<std::string>& literals) {
  if (literals.empty()) return std::vector<uint8_t>{};
  std::vector<const char*> expressions;
  std::vector<size_t> lengths;
  std::vector<unsigned> ids;
  const std::vector<unsigned> flags(literals.size(), 0);
  for (const std::string& literal : literals) {
    ids.push_back(static_cast<unsigned>(ids.size()));
    expressions.push_back(literal.data());
    lengths.push_back(literal.size());
  }
  const hs_platform_info_t platform = project_platform();
  hs_database_t* compiled = nullptr;
  hs_compile_error_t* compile_error = nullptr;
  const hs_error_t status = hs_compile_lit_multi(
      expressions.data(), flags.data(), ids.data(), lengths.data(),
      static_cast<unsigned>(literals.size()), HS_MODE_BLOCK, &platform, &compiled, &compile_error);
  const std::unique_ptr<hs_database_t, FreeDatabase> database(compiled);
  const std::unique_ptr<hs_compile_error_t, FreeError> error(compile_error);
  if (status != HS_SUCCESS) return std::unexpected(error ? error->message : "out of memory");

  char* serialized = nullptr;
  size_t bytes = 0;
  if (hs_serialize_database(database.get(), &serialized, &bytes) != HS_SUCCESS) {
    return std::unexpected("the database could not be serialized");
  }
  const std::unique_ptr<char, FreeMemory> owned(serialized);
  return std::vector<uint8_t>(serialized, serialized + bytes);
}

}  // namespace sallyport
