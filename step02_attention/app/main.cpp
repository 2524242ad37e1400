// step02_attention - chapter 2: a decoder without a cache.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{.name = "step02_attention",
                                      .text =
                                          "Chapter 2: a decoder that generates text WITHOUT a "
                                          "cache: each token costs the whole "
                                          "text again.\n"
                                          "Exit codes: 0 done, 1 an error, 2 wrong usage."};
    return program.run(argc, argv);
}
