#pragma once

namespace sallyport {

/// Whether the packet path counts and measures what it does. False only in builds with
/// -Dmeasure=false, which exist to find out what that costs: bench/measuring.sh.
#ifdef SALLYPORT_UNMEASURED
inline constexpr bool kMeasures = false;
#else
inline constexpr bool kMeasures = true;
#endif

}  // namespace sallyport
