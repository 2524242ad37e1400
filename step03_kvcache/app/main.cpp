// step03_kvcache - chapter 3: generation with a cache, and the proof that it changes no bit.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{
        .name = "step03_kvcache",
        .text =
            "Chapter 3: the KV cache. Without a subcommand: verify.\n"
            "Exit codes: 0 holds, 1 does not hold or an error, 2 wrong usage."};
    return program.run(argc, argv);
}
