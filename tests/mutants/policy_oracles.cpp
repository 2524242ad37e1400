// mutant_policy_oracles - the text that a wrong policy writes: what a look at the output sees
// of it. tests/tools/mutants.py runs the right program and each mutant of step 5, and compares:
//   mutant_policy_oracles POLICY    ->    24 tokens, in one line
// The trained tiny model, greedy, after a prompt that is twice the budget, so that tokens go
// before the first one is written. No fork, no reset, no second text: people who look at a text
// do none of these.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/policies/registry.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "models.hpp"

using namespace kvlab;

namespace {

constexpr Index kGenerated = 24;

// Each value is one at which the method has something to do on 80 tokens of text.
PolicyOptions short_text_options() {
    PolicyOptions options;
    options.budget = 28;  // of pages: three and a half
    options.window = 8;
    options.beta = 4;
    options.page = 8;
    return options;
}

void write_text(const std::string& policy) {
    const auto engine = make_cpu_engine();
    const GgufFile file = GgufFile::open(test::weights_file("tiny.gguf"));
    Decoder decoder(load_model(file, *engine), *engine);
    std::vector<Token> prompt = {0};  // BOS
    for (const char c : std::string("In the beginning God created the heaven and the earth. "))
        prompt.push_back(static_cast<std::uint8_t>(c));
    PolicyContext context = policy_context(decoder, std::ssize(prompt) + kGenerated);
    context.prompt = std::ssize(prompt);
    look_ahead(context, find_policy(policy), short_text_options(), decoder, prompt);
    const auto store = find_policy(policy).make(context, short_text_options());
    Generator generator(decoder);
    generator.add(*store, prompt, kGenerated);
    generator.run();
    for (const Token token : generator.generated(0))
        std::printf("%td ", static_cast<Index>(token));
    std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "mutant_policy_oracles: expected the name of a policy\n");
        return 2;
    }
    try {
        write_text(argv[1]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mutant_policy_oracles: %s\n", error.what());
        return 1;
    }
    return 0;
}
