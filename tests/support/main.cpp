#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "skip.hpp"

// As doctest's own main, and 77 where all went well but a case was skipped.
int main(int argc, char** argv) {
    doctest::Context context(argc, argv);
    const int result = context.run();
    return result == 0 && kvlab::test::skipped() ? 77 : result;
}
