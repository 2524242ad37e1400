// record.cpp - chapter 5: one text with every policy, for a page that shows what each forgets.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/recall_file.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "app.hpp"
#include "recording.hpp"

namespace kvlab::app {

namespace {

// A recall case, or a prompt that the full cache goes on with, is run with every policy.
struct RecordFlags {
    OpenOptions opened = cli::open_options();
    PolicyOptions policy = with_budget(24);  // of a text of some 90 tokens
    std::vector<std::string> names;          // empty: all
    std::string cases = cli::default_text("recall_cases.jsonl");
    Index distance = 64, number = 1;  // the case: the first of this distance
    std::string prompt;               // if not empty, instead of a case
    Index steps = 48;                 // tokens after the prompt
    Index whole = 0;                  // tokens that go in whole; 0: half of a case, the prompt
    std::shared_ptr<OutputFile> out;
};

// What all policies read. The last token is not fed: it is what the last step is asked for.
struct RecordedText {
    std::vector<Token> tokens;
    Index whole = 0;  // that go in together
    Json recall;      // of the header; null for a prompt
};

Json places(Index first, Index count) {
    Json json = Json::array();
    for (Index i = 0; i < count; ++i) json.push_back(first + i);
    return json;
}

// A case asks "km?" for the b of "km=b;" somewhere before.
RecordedText text_of_case(const RecallCase& recall, const Tokenizer& tokenizer) {
    constexpr Index kAsked = 3;
    const Index answer = recall.answers.size() == 1 ? recall.answers[0] : 0;
    check(answer > kAsked && answer < std::ssize(recall.text),
          "record: a recall case has one answer behind a question of ", kAsked, " bytes");
    const auto at = usize(answer);
    const std::string name = recall.text.substr(at - kAsked, kAsked - 1);
    const std::size_t needle = recall.text.rfind(name + "=", at - kAsked - 1);
    check(needle != std::string::npos, "record: the case never says what ", name, " is");
    RecordedText text;
    if (tokenizer.wants_bos()) text.tokens.push_back(tokenizer.bos());
    const Index before = std::ssize(text.tokens);
    for (std::size_t i = 0; i <= at; ++i)
        text.tokens.push_back(static_cast<std::uint8_t>(recall.text[i]));
    text.whole = std::ssize(text.tokens) / 2;
    text.recall = {{"distance", recall.distance},
                   {"needle", places(before + static_cast<Index>(needle), kAsked + 1)},
                   {"question", places(before + answer - kAsked, kAsked)}};
    return text;
}

RecordedText recall_text(const RecordFlags& flags, const OpenedModel& opened) {
    check(opened.model->config.vocab == 256,
          "record: recall cases are for models whose tokens are bytes; give a --prompt");
    Index left = flags.number;
    for (const RecallCase& recall : read_recall_cases(flags.cases))
        if (recall.kind == "recall" && recall.distance == flags.distance && --left == 0)
            return text_of_case(recall, *opened.tokenizer);
    throw Error(concat("record: there are ", flags.number - left,
                       " recall cases of the distance ", flags.distance, " in ", flags.cases));
}

// The prompt, and what everything kept writes behind it: the same text for all.
RecordedText prompt_text(const RecordFlags& flags, OpenedModel& opened) {
    RecordedText text;
    EncodeReport losses;
    text.tokens = opened.encode(flags.prompt, &losses);
    cli::warn_about_losses(losses);
    text.whole = std::ssize(text.tokens);
    const auto store = find_policy(kFull).make(
        policy_context(opened.decoder,
                       std::min(opened.model->config.context, text.whole + flags.steps)),
        flags.policy);
    Generator generator(opened.decoder);
    generator.add(*store, text.tokens, flags.steps);
    generator.set_is_end([&](Token token) { return opened.tokenizer->is_end(token); });
    generator.run();
    const auto tokens = generator.tokens(0);
    text.tokens.assign(tokens.begin(), tokens.end());
    return text;
}

Json header_of(const RecordFlags& flags,
               const std::vector<std::string>& names,
               const OpenedModel& opened,
               const RecordedText& text) {
    const Config& c = opened.model->config;
    Json header{{"kvlab_policies", 1},
                {"model", c.name},
                {"engine", opened.engine->name()},
                {"config",
                 {{"layers", c.layers},
                  {"heads", c.heads},
                  {"kv_heads", c.kv_heads},
                  {"head_dim", c.head_dim}}},
                {"whole", text.whole},
                {"recall", text.recall},
                {"budget", flags.policy.budget},
                {"ratio", flags.policy.ratio},
                {"seed", flags.policy.seed}};
    for (const Token token : text.tokens)
        header["pieces"].push_back(opened.tokenizer->piece(token));
    for (int i = 0; i < kSlotClasses; ++i)
        header["classes"].push_back(class_name(static_cast<SlotClass>(i)));
    for (const std::string& name : names) {
        const PolicyEntry& entry = find_policy(name);
        header["policies"].push_back(
            {{"name", entry.name}, {"idea", entry.idea}, {"paper", entry.paper}});
    }
    return header;
}

// Right predictions; *answers: whether the last one is.
Index record_policy(OpenedModel& opened,
                    const MakePolicy& make,
                    const RecordedText& text,
                    RecordingWriter& writer,
                    bool* answers) {
    const std::span<const Token> fed = std::span(text.tokens).first(text.tokens.size() - 1);
    const std::unique_ptr<PolicyStore> store = make(fed, text.whole);
    Index right = 0;
    for (std::size_t done = 0; done < fed.size();) {
        const std::size_t count = done == 0 ? usize(text.whole) : 1;
        const View<const float> logits =
            opened.decoder.forward(*store, fed.subspan(done, count));
        done += count;
        const auto likeliest = static_cast<Token>(argmax(logits.flat()));
        *answers = likeliest == text.tokens[done];
        right += *answers ? 1 : 0;
        writer.step(*store, {{"likeliest", opened.tokenizer->piece(likeliest)},
                             {"right", *answers},
                             {"bits", surprise_bits(logits.flat(), text.tokens[done])}});
    }
    return right;
}

int run_record(const RecordFlags& flags) {
    OpenedModel opened(flags.opened);
    std::vector<std::string> names;
    for (const std::string& name : chosen_policies(flags.names, opened))
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    RecordedText text =
        flags.prompt.empty() ? recall_text(flags, opened) : prompt_text(flags, opened);
    if (flags.whole > 0) text.whole = flags.whole;
    const Index fed = std::ssize(text.tokens) - 1;
    cli::check_fits("record: the text", fed, opened.model->config);
    check(text.whole >= 1 && text.whole <= fed, "record: ", text.whole,
          " tokens that go in whole, of a text of ", fed);
    RecordingWriter writer(flags.out, header_of(flags, names, opened, text));
    const Index steps = fed - text.whole + 1;
    std::printf("%s, %s: %td tokens, of which %td go in whole, then %td steps\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(), fed,
                text.whole, steps - 1);
    const int width = label_width(contenders("", names, flags.policy));
    Index answered = 0;
    for (const std::string& name : names) {
        writer.start(name);
        bool answers = false;
        const Index right =
            record_policy(opened, maker_of(opened, name, flags.policy), text, writer, &answers);
        answered += answers ? 1 : 0;
        std::printf("  %-*s %td of %td next tokens right, the last one: %s\n", width,
                    name.c_str(), right, steps, answers ? "yes" : "no");
        std::fflush(stdout);
    }
    writer.finish();
    std::cout << "RESULT policies=" << names.size() << " steps=" << steps
              << " answered=" << answered << std::endl;
    return cli::kHolds;
}

void add_record_flags(CLI::App& app, RecordFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    add_policy_flags(app, flags.policy);
    app.add_option("--policy", flags.names, "these alone, a list; default: all")
        ->delimiter(',')
        ->check(CLI::IsMember(names_of_policies()));
    CLI::Option* const cases =
        app.add_option("--cases", flags.cases, "recall cases of a byte model")
            ->transform(cli::text_file());
    CLI::Option* const distance =
        cli::add_count(app, "--distance", flags.distance, 1, "of the recall case, in bytes");
    CLI::Option* const number =
        cli::add_count(app, "--case", flags.number, 1, "which of those with this distance");
    const cli::PromptOptions prompt = cli::add_prompt_flags(
        app, flags.prompt, "instead of a case: the text that everything kept goes on with");
    for (CLI::Option* const given : {prompt.text, prompt.file})
        given->excludes(cases)->excludes(distance)->excludes(number);
    cli::add_count(app, "-n,--steps", flags.steps, 1, "tokens behind the prompt");
    cli::add_count(app, "--whole", flags.whole, 0,
                   "tokens that go in whole; 0: half of a case, all of a prompt");
    cli::add_output_flag(app, "-o,--out", flags.out, "the file to write, JSON lines")
        ->required();
}

const cli::Subcommand kRecord{
    {.place = 30,
     .name = "record",
     .text = "one text with every policy, step by step, into a file for policy_viewer.py"},
    add_record_flags,
    run_record};

}  // namespace

}  // namespace kvlab::app
