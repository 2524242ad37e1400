// step08_architectures - chapter 8: other memories.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{
        .name = "step08_architectures",
        .text =
            "Chapter 8: other memories. Without a subcommand: every mixer, what a token "
            "leaves behind\n"
            "in it, what that costs and what can be recalled.\n"
            "Exit codes: 0 done, 1 does not hold or an error, 2 wrong usage."};
    return program.run(argc, argv);
}
