// The helpers of the pipeline tests report through Catch2: this is its run time, without its
// main().
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
