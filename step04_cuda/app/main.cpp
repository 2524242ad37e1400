// step04_cuda - chapter 4: kernels in ladders, and the decoder on them; on a GPU
// or without one.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{
        .name = "step04_cuda",
        .text =
            "Chapter 4: CUDA kernels, on a GPU or without one. Without a subcommand: ladders.\n"
            "Exit codes: 0 holds, 1 does not hold or an error, 2 wrong usage."};
    return program.run(argc, argv);
}
