// kvlab_weights - look into a GGUF file, convert it, or try its tokenizer.
#include <kvlab/tensor/subcommand.hpp>

int main(int argc, char** argv) {
    const kvlab::cli::Program program{
        .name = "kvlab_weights",
        .text =
            "Looks into GGUF model files and converts them.\n"
            "Without arguments: shows the tiny model that comes with kvlab.",
        .footer =
            "A model is a path, or a name that is looked for in $KVLAB_WEIGHTS and weights/.\n"
            "Exit codes: 0 done, 1 bad data, 2 usage."};
    return program.run(argc, argv);
}
