#include "tests/support/eal.h"

#include <rte_eal.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace sallyport::test {

void start_eal() {
  static const bool started = [] {
    std::vector<std::string> text{"test",
                                  "--no-huge",
                                  "-m",
                                  "256",
                                  "--no-pci",
                                  "-l",
                                  "0",
                                  "--no-telemetry",
                                  "--no-shconf",
                                  "--iova-mode=va",
                                  "--log-level=error"};
    std::vector<char*> argv;
    for (std::string& arg : text) argv.push_back(arg.data());
    return rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0;
  }();
  if (!started) throw std::runtime_error("rte_eal_init failed");
}

}  // namespace sallyport::test
