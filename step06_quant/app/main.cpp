// step06_quant - chapter 6: smaller numbers.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{
        .name = "step06_quant",
        .text =
            "Chapter 6: smaller numbers. Without a subcommand: every format of the cache, the "
            "law\n"
            "that it keeps and what it changes.\n"
            "Exit codes: 0 done, 1 does not hold or an error, 2 wrong usage."};
    return program.run(argc, argv);
}
