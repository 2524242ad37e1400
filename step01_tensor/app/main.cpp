// step01_tensor - chapter 1: the numeric contract at work, and how fast this machine can be.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{
        .name = "step01_tensor",
        .text =
            "Chapter 1: one product, all paths, one checksum; and this machine's roofline.\n"
            "Without a subcommand: contract, matmul and roofline.\n"
            "Exit codes: 0 all claims hold, 1 one does not (or an error), 2 wrong usage."};
    return program.run(argc, argv);
}
