// step07_serving - chapter 7: many requests, one cache, the same bits.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{
        .name = "step07_serving",
        .text =
            "Chapter 7: many requests, one cache, the same bits. Without a subcommand: the "
            "same\n"
            "requests served in six ways, and how many of their floats differ.\n"
            "Exit codes: 0 done, 1 does not hold or an error, 2 wrong usage."};
    return program.run(argc, argv);
}
