#include <hs/hs.h>

#include <cstdlib>
#include <memory>

#include "policy/compile/pattern.h"

namespace sallyport {
namespace {

struct FreeDatabase {
  void operator()(hs_database_t* database) const noexcept { hs_free_database(database); }
};
struct FreeError {
  void operator()(hs_compile_error_t* error) const noexcept { hs_free_compile_error(error); }
};
struct FreeMemory {
  void operator()(void* memory) const noexcept { std::free(memory); }
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

/// What hs_compile…() takes beside the expressions.
struct Expressions {
  std::vector<const char*> texts;
  std::vector<size_t> lengths;
  std::vector<unsigned> ids;

  Expressions(std::span<const std::string> expressions, unsigned first_id) {
    for (const std::string& expression : expressions) {
      ids.push_back(first_id + static_cast<unsigned>(ids.size()));
      texts.push_back(expression.c_str());
      lengths.push_back(expression.size());
    }
  }
  unsigned count() const { return static_cast<unsigned>(ids.size()); }
};

std::expected<std::vector<uint8_t>, PatternError> serialize(hs_error_t status,
                                                            hs_database_t* compiled,
                                                            hs_compile_error_t* compile_error) {
  const std::unique_ptr<hs_database_t, FreeDatabase> database(compiled);
  const std::unique_ptr<hs_compile_error_t, FreeError> error(compile_error);
  if (status != HS_SUCCESS) {
    PatternError out{.message = error ? error->message : "out of memory", .index = {}};
    if (error && error->expression >= 0) out.index = static_cast<size_t>(error->expression);
    return std::unexpected(std::move(out));
  }
  char* serialized = nullptr;
  size_t bytes = 0;
  if (hs_serialize_database(database.get(), &serialized, &bytes) != HS_SUCCESS) {
    return std::unexpected(PatternError{"the database could not be serialized", {}});
  }
  const std::unique_ptr<char, FreeMemory> owned(serialized);
  return std::vector<uint8_t>(serialized, serialized + bytes);
}

}  // namespace

// SINGLEMATCH: one report a pattern. ALLOWEMPTY: '**' and '.*' are patterns like any other.
const unsigned kPatternFlags = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY;

std::optional<std::string> regex_error(std::string_view regex) {
  // By itself first: "a)|(b" is no regex, though it would become one within a group.
  for (const std::string& text : {std::string(regex), regex_expression(regex)}) {
    hs_expr_info_t* info = nullptr;
    hs_compile_error_t* compile_error = nullptr;
    const hs_error_t status =
        hs_expression_info(text.c_str(), kPatternFlags, &info, &compile_error);
    const std::unique_ptr<hs_expr_info_t, FreeMemory> owned(info);
    const std::unique_ptr<hs_compile_error_t, FreeError> error(compile_error);
    if (status != HS_SUCCESS) return error ? error->message : "out of memory";
  }
  return {};
}

std::expected<std::vector<uint8_t>, PatternError> compile_patterns(
    std::span<const std::string> expressions, unsigned first_id) {
  if (expressions.empty()) return std::vector<uint8_t>{};
  const Expressions input(expressions, first_id);
  const std::vector<unsigned> flags(expressions.size(), kPatternFlags);
  const hs_platform_info_t platform = project_platform();
  hs_database_t* compiled = nullptr;
  hs_compile_error_t* error = nullptr;
  const hs_error_t status =
      hs_compile_multi(input.texts.data(), flags.data(), input.ids.data(), input.count(),
                       HS_MODE_BLOCK, &platform, &compiled, &error);
  return serialize(status, compiled, error);
}

std::expected<std::vector<uint8_t>, PatternError> compile_literals(
    std::span<const std::string> literals) {
  if (literals.empty()) return std::vector<uint8_t>{};
  const Expressions input(literals, 0);
  const std::vector<unsigned> flags(literals.size(), 0);
  const hs_platform_info_t platform = project_platform();
  hs_database_t* compiled = nullptr;
  hs_compile_error_t* error = nullptr;
  const hs_error_t status =
      hs_compile_lit_multi(input.texts.data(), flags.data(), input.ids.data(), input.lengths.data(),
                           input.count(), HS_MODE_BLOCK, &platform, &compiled, &error);
  return serialize(status, compiled, error);
}

}  // namespace sallyport
