// verify.cpp - chapter 7: random requests, served in random ways, against each of them alone.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/texts.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/quant/coded_formats.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/serving/laws.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct VerifyFlags {
    OpenOptions opened = cli::open_options();
    std::string text = cli::default_text("heldout.txt");
    LawOptions laws;
    std::shared_ptr<OutputFile> json;
};

// Whether rows of this length can be kept so, and by each token alone: KIVI's cannot.
bool keeps_tokens(Format code, Index head_dim) {
    if (code->waits) return false;
    try {
        for (const bool keys : {true, false}) check_row_format(code->of(keys), head_dim, keys);
    } catch (const Error&) {
        return false;
    }
    return true;
}

// All that pages can hold: the formats of chapter 3, and those of chapter 6.
std::vector<LawRows> all_rows(Index head_dim) {
    std::vector<LawRows> all;
    for (const Format format : kv_formats()) all.push_back({format->name, rows_in(format)});
    const auto known = [&](const std::string& name) {
        return std::any_of(all.begin(), all.end(),
                           [&](const LawRows& rows) { return rows.name == name; });
    };
    const auto add = [&](Format code, Index sinks) {
        if (!keeps_tokens(code, head_dim)) return;
        const QuantOptions options{.keys = code, .values = code, .sinks = sinks};
        const std::string name = quant_name(options);
        if (!known(name)) all.push_back({name, coded_rows(options)});
    };
    for (const Format code : coded_formats()) add(code, 0);
    add(&formats::lloyd4, 70);  // more than a page stays floats
    return all;
}

using NamedCounts = std::vector<std::pair<const char*, Index>>;

NamedCounts named(const LawCounts& c) {
    return {{"tokens from pages of the index", c.cached},
            {"pages copied before they were written", c.copied},
            {"pages evicted from the index", c.evicted},
            {"preemptions, fed again later", c.recomputed},
            {"preemptions, swapped out and in", c.swapped},
            {"guesses that were right", c.accepted},
            {"guesses that were wrong", c.rejected},
            {"requests cancelled", c.cancelled},
            {"requests that an end token ended", c.ended},
            {"requests overtaken by later ones", c.overtaken},
            {"prompts fed in pieces", c.chunked},
            {"tokens of padding", c.padded}};
}

void print_report(const LawReport& r) {
    std::printf("\n  what happened:\n");
    for (const auto& [name, count] : named(r.counts))
        std::printf("    %-40s %10td\n", name, count);
    const auto by_count = [](const auto& a, const auto& b) { return a.second < b.second; };
    const auto [least, most] = std::minmax_element(r.drawn.begin(), r.drawn.end(), by_count);
    std::printf("    schedules with each of %td kinds of pages  %8td to %td\n",
                std::ssize(r.drawn), least->second, most->second);
    std::printf("\n  %-42s %10td of %td differ\n", "floats of logits", r.logits.differ,
                r.logits.count);
    std::printf("  %-42s %10td of %td differ\n", "tokens", r.tokens_differ, r.tokens);
    std::printf("  %-42s %10td of %td differ\n", "how they ended", r.outcomes_differ,
                r.requests);
    std::printf("  %-42s %10td\n", "pages that were lost", r.pages_lost);
    std::printf("  %-42s %10td of %td\n", "steps over their budget", r.over_budget,
                r.bounded_steps);
    if (!r.first_difference.empty())
        std::printf("  first difference: %s\n", r.first_difference.c_str());
}

Json to_json(const LawReport& r) {
    Json json;
    json["schedules"] = r.schedules;
    json["requests"] = r.requests;
    json["steps"] = r.steps;
    json["floats"] = r.logits.count;
    json["floats_differ"] = r.logits.differ;
    json["tokens"] = r.tokens;
    json["tokens_differ"] = r.tokens_differ;
    json["outcomes_differ"] = r.outcomes_differ;
    json["pages_lost"] = r.pages_lost;
    json["bounded_steps"] = r.bounded_steps;
    json["over_budget"] = r.over_budget;
    for (const auto& [name, count] : named(r.counts)) json["happened"][name] = count;
    for (const auto& [name, count] : r.drawn) json["pages_of"][name] = count;
    json["first_difference"] = r.first_difference;
    return json;
}

int run_verify(const VerifyFlags& flags) {
    OpenedModel opened(flags.opened);
    LawOptions laws = flags.laws;
    laws.text = tokens_of_file(*opened.tokenizer, flags.text);
    laws.formats = all_rows(opened.model->config.head_dim);
    std::printf("%s (%s): %td schedules of up to %td requests, each of them also alone\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(),
                laws.schedules, laws.most_requests);
    std::fflush(stdout);
    const Stopwatch watch;
    const LawReport report = check_laws(opened.decoder, laws);
    const double seconds = watch.seconds();
    print_report(report);
    const std::string never = report.never();
    const char* verdict = !report.holds() ? "no" : never.empty() ? "yes" : "proves nothing";
    if (!never.empty()) std::printf("  it never happened: %s\n", never.c_str());
    std::printf("  the laws hold: %s (%.1f s)\n\n", verdict, seconds);

    Json json = new_report("step07_serving verify", laws.seed);
    json["model"] = opened.model->config.name;
    json.update(to_json(report));
    json["verdict"] = verdict;
    json["seconds"] = seconds;
    write_json(flags.json, json);
    std::fflush(stdout);
    std::cout << "RESULT schedules=" << report.schedules << " requests=" << report.requests
              << " floats=" << report.logits.count << " differ=" << report.logits.differ
              << " holds=" << (never.empty() || !report.holds() ? verdict : "proves_nothing")
              << std::endl;
    return report.holds() && never.empty() ? cli::kHolds : cli::kFails;
}

void add_verify_flags(CLI::App& app, VerifyFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "-n,--schedules", flags.laws.schedules, 1, "schedules to draw");
    cli::add_count(app, "--first", flags.laws.first, 0,
                   "number of the first one; each is drawn for itself");
    app.add_option("-s,--seed", flags.laws.seed, "of what is drawn")->capture_default_str();
    cli::add_count(app, "--requests", flags.laws.most_requests, {1, 1000},
                   "at most in a schedule");
    cli::add_count(app, "--prompt", flags.laws.most_prompt, 1, "tokens of a prompt at most");
    cli::add_count(app, "--steps", flags.laws.most_tokens, 1, "tokens to write at most");
    app.add_option("--text", flags.text, "what prompts are cut from; default: heldout.txt")
        ->transform(cli::text_file());
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kVerify{
    {.place = 20,
     .name = "verify",
     .text = "random schedules: every request has the bits that it has alone"},
    add_verify_flags,
    run_verify};

}  // namespace

}  // namespace kvlab::app
