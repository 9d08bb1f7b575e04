#include <cstdint>
#include <cstdlib>

#include "policy/compile/compile.h"
#include "policy/runtime/table.h"

/// Any text is either refused with places inside the file, or compiles to an image that loads.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sallyport::SourceFile source{"fuzz",
                                     std::string(reinterpret_cast<const char*>(data), size)};
  const auto compiled = sallyport::compile_policy({&source, 1});
  if (compiled) {
    if (!sallyport::PolicyTable::load(compiled->image, 1)) std::abort();
    return 0;
  }
  if (compiled.error().empty()) std::abort();
  for (const auto& diagnostic : compiled.error()) {
    if (diagnostic.code.empty() || diagnostic.message.empty() || diagnostic.line > size + 1) {
      std::abort();
    }
  }
  return 0;
}
