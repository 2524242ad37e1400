// step05_policies - chapter 5: what to forget, and what it costs.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{
        .name = "step05_policies",
        .text =
            "Chapter 5: what to forget, and what it costs. Without a subcommand: compare.\n"
            "Exit codes: 0 done, 1 does not hold or an error, 2 wrong usage."};
    return program.run(argc, argv);
}
