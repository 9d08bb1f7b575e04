#pragma once

namespace sallyport::test {

/// How many cases of a property to try: all of them, or the tenth part in a sanitized build, which
/// is ten times slower and looks for faults of memory only.
constexpr unsigned cases(unsigned all) {
#ifdef SALLYPORT_SANITIZED
  return all / 10;
#else
  return all;
#endif
}

}  // namespace sallyport::test
