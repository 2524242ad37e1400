// needle.cpp - chapter 5: does a policy still hold what a question asks for? By distance, with
// the question outside and inside of what is compressed, and two questions to one cache.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include <kvlab/attention/texts.hpp>
#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

struct NeedleFlags {
    OpenOptions opened = cli::open_options();
    PolicyOptions policy = with_budget(64);
    std::vector<std::string> names;
    std::string cases = cli::default_text("recall_cases.jsonl");
    Index each = 50, seeds = 5;
    std::shared_ptr<OutputFile> json;
};

struct Tally {
    Index right = 0, asked = 0;

    void add(bool answered) {
        right += answered ? 1 : 0;
        ++asked;
    }

    double share() const {
        return asked == 0 ? 0 : static_cast<double>(right) / static_cast<double>(asked);
    }
};

struct NeedleRow {
    std::map<Index, Tally> outside, inside;  // by distance
    Tally first, second;                     // of one cache
};

constexpr Index kQuestion = 3;  // "km?": a key of two letters and the question mark

// Another pair "xx=y;" of the text than the one that is asked for: its key and answer, or "".
std::string another_pair(const RecallCase& recall) {
    const std::string& text = recall.text;
    const auto answer = usize(recall.answers[0]);
    const std::string asked = text.substr(answer - kQuestion, 2);
    for (std::size_t at = 2; at + 2 < answer - kQuestion; ++at) {
        const std::string key = text.substr(at - 2, 2);
        const bool letters =
            std::all_of(key.begin(), key.end(), [](char c) { return c >= 'a' && c <= 'z'; });
        if (text[at] == '=' && text[at + 2] == ';' && letters && key != asked)
            return key + text[at + 1];
    }
    return "";
}

std::vector<Token> bytes_of(const std::string& text) {
    std::vector<Token> tokens;
    for (const char c : text) tokens.push_back(static_cast<std::uint8_t>(c));
    return tokens;
}

// One by one, as a model writes. True if `answer` is the most likely to follow.
bool answers(Decoder& decoder, KvStore& store, const std::string& question, char answer) {
    View<const float> logits;
    for (const Token token : bytes_of(question))
        logits = decoder.forward(store, std::span<const Token>(&token, 1));
    return argmax(logits.flat()) == static_cast<std::uint8_t>(answer);
}

// The text before the question is compressed once; each question gets a fork of it.
void ask_two(OpenedModel& opened,
             const MakePolicy& make,
             const RecallCase& recall,
             NeedleRow& row) {
    const std::string other = another_pair(recall);
    if (other.empty()) return;
    const auto answer = usize(recall.answers[0]);
    std::vector<Token> text = bytes_of(recall.text.substr(0, answer));
    text.insert(text.begin(), opened.tokenizer->bos());
    const auto prompt = text.size() - kQuestion;
    const auto store = make(text, static_cast<Index>(prompt));
    opened.decoder.forward(*store, std::span(text).first(prompt));
    const auto fork = store->fork();
    row.first.add(answers(opened.decoder, *store,
                          recall.text.substr(answer - kQuestion, kQuestion),
                          recall.text[answer]));
    row.second.add(answers(opened.decoder, *fork, other.substr(0, 2) + "?", other[2]));
}

NeedleRow needle_row(OpenedModel& opened,
                     const NeedleFlags& flags,
                     const std::string& name,
                     const std::vector<RecallCase>& cases) {
    const Token bos = opened.tokenizer->bos();
    PolicyOptions options = flags.policy;
    NeedleRow row;
    for (Index s = 0; s < (find_policy(name).draws ? flags.seeds : 1); ++s) {
        const MakePolicy make = maker_of(opened, name, options);
        for (const RecallCase& recall : cases) {
            row.outside[recall.distance].add(
                recalls(opened.decoder, make, recall, bos, kQuestion));
            row.inside[recall.distance].add(recalls(opened.decoder, make, recall, bos, 1));
            // The future is that of one text; two questions are two.
            if (!find_policy(name).needs_future) ask_two(opened, make, recall, row);
        }
        ++options.seed;
    }
    return row;
}

// Of a share p of n cases that are independent, sqrt(p (1 - p) / n): largest for p = 1/2.
double largest_standard_error(Index cases) {
    return 0.5 / std::sqrt(static_cast<double>(cases));
}

void print_shares(const char* where, const std::map<Index, Tally>& tallies) {
    std::printf(" %-8s", where);
    for (const auto& one : tallies) std::printf(" %4.2f", one.second.share());
}

void print_needle(const std::string& name, int width, const NeedleRow& row) {
    std::printf("  %-*s", width, name.c_str());
    print_shares("outside", row.outside);
    if (row.first.asked > 0)
        std::printf("   %5.2f %6.2f", row.first.share(), row.second.share());
    std::printf("\n  %-*s", width, "");
    print_shares("inside", row.inside);
    std::printf("\n");
    std::fflush(stdout);
}

Json needle_json(const std::string& name, const NeedleRow& row) {
    Json json{{"policy", name}};
    for (const auto& one : row.outside)
        json["outside"][std::to_string(one.first)] = one.second.share();
    for (const auto& one : row.inside)
        json["inside"][std::to_string(one.first)] = one.second.share();
    json["asked"] = row.outside.begin()->second.asked;
    json["asked_two"] = row.first.asked;
    json["first"] = row.first.share();
    json["second"] = row.second.share();
    return json;
}

int run_needle(const NeedleFlags& flags) {
    OpenedModel opened(flags.opened);
    const std::vector<RecallCase> cases = recall_cases(opened, flags.cases, flags.each);
    check(!cases.empty(), "needle: no recall cases, or ", opened.model->config.name,
          " does not read bytes");
    std::vector<std::string> names = flags.names.empty() ? names_of_policies() : flags.names;
    std::map<Index, Index> distances;
    for (const RecallCase& recall : cases) ++distances[recall.distance];
    std::printf("%s, %s: %zu cases, budget %td; share of right answers by distance\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(), cases.size(),
                flags.policy.budget);
    const int width = label_width(contenders("", names, flags.policy));
    std::printf("  %-*s %-8s", width, "policy", "question");
    for (const auto& one : distances) std::printf(" %4td", one.first);
    std::printf("   first second\n");
    Index fewest = std::ssize(cases);
    for (const auto& one : distances) fewest = std::min(fewest, one.second);
    Json json = new_report("step05_policies needle", flags.policy.seed);
    json["model"] = opened.model->config.name;
    json["budget"] = flags.policy.budget;
    json["cases"] = cases.size();
    json["largest_standard_error"] = largest_standard_error(fewest);
    for (const std::string& name : names) {
        const NeedleRow row = needle_row(opened, flags, name, cases);
        print_needle(name, width, row);
        json["policies"].push_back(needle_json(name, row));
    }
    std::printf(
        "\n  outside: the question comes behind what is compressed. inside: all of it but its\n"
        "  question mark is compressed with the text. first, second: the case's question, and\n"
        "  one for another pair of its text, each to a fork of the same compressed text.\n"
        "  %td cases or more at a distance: a share's standard error is at most %.2f. What is "
        "random: of\n  %td seeds.\n",
        fewest, largest_standard_error(fewest), flags.seeds);
    write_json(flags.json, json);
    std::cout << "RESULT policies=" << names.size() << " cases=" << cases.size() << std::endl;
    return cli::kHolds;
}

void add_needle_flags(CLI::App& app, NeedleFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    add_policy_flags(app, flags.policy);
    app.add_option("--policy", flags.names, "these alone, a list; default: all")
        ->delimiter(',')
        ->check(CLI::IsMember(names_of_policies()));
    app.add_option("--cases", flags.cases, "recall cases of a byte model")
        ->transform(cli::text_file());
    cli::add_count(app, "--recall", flags.each, {1, 1 << 20}, "cases for each distance");
    cli::add_count(app, "--seeds", flags.seeds, 1, "measurements of what is random");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kNeedle{
    {.place = 70,
     .name = "needle",
     .text = "recall by distance, the question inside and outside of what is compressed"},
    add_needle_flags,
    run_needle};

}  // namespace

}  // namespace kvlab::app
