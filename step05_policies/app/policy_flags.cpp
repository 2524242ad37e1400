// policy_flags.cpp - chapter 5: the flags that name policies and set what they keep.
#include "app.hpp"

namespace kvlab::app {

std::vector<std::string> names_of_policies() {
    std::vector<std::string> names;
    for (const PolicyEntry& entry : all_policies()) names.push_back(entry.name);
    return names;
}

void add_policy_flags(CLI::App& app, PolicyOptions& options) {
    cli::add_count(app, "--budget", options.budget, 1,
                   "tokens that each layer and KV head keeps");
    app.add_option("--ratio", options.ratio,
                   "instead: keep this share of the tokens seen, at least one of them")
        ->check(cli::share_of_all())
        ->excludes("--budget");
    cli::add_count(app, "--sinks", options.sinks, 0, "sinks: first tokens that always stay");
    app.add_option("--recent", options.recent,
                   "h2o, keyformer, scissorhands, random, key-norm: last tokens that always "
                   "stay; -1: the method's default")
        ->check(CLI::Range(Index{-1}, Index{1} << 24))
        ->capture_default_str();
    cli::add_count(app, "--observe", options.window, 1,
                   "snapkv, pyramidkv: last tokens, which decide");
    cli::add_count(app, "--kernel", options.kernel, 1,
                   "snapkv, pyramidkv: neighbours pooled; odd");
    app.add_flag("--max-pool", options.max_pool, "snapkv, pyramidkv: by maximum, not mean");
    cli::add_count(app, "--beta", options.beta, 1, "pyramidkv: how steep");
    app.add_option("--ratios", options.ratios, "pyramidkv-ratios: shares, lowest layers first")
        ->delimiter(',');
    app.add_option("--forget", options.forget,
                   "h2o-forgetting: the past is multiplied by this; 0.99 if not given")
        ->check(cli::share_of_all());
    cli::add_count(app, "--votes", options.votes, 0,
                   "scissorhands: queries remembered, at most 4096; 0: all");
    app.add_option("--whole-layers", options.whole_layers,
                   "key-norm, quest, quest-by-bound: lowest layers, which keep and read "
                   "everything; -1: the method's default, 2")
        ->check(CLI::Range(Index{-1}, Index{1} << 24))
        ->capture_default_str();
    cli::add_count(app, "--page", options.page, 1, "quest: tokens of a page; a divisor of 64");
    const auto share = [&app](const char* name, double& value, const char* text) {
        app.add_option(name, value, text)
            ->check(cli::number_between(0, 1))
            ->capture_default_str();
    };
    share("--floor", options.floor,
          "adakv-snapkv, expected-attention: of its mean budget, what each head keeps");
    share("--direction", options.direction,
          "minicache: from the lower layer's direction, 0, to the upper's, 1");
    share("--retained", options.retained, "minicache: share of the tokens that are not merged");
    app.add_option("--merge-from", options.merge_from,
                   "minicache: first layer of the first pair; -1: the middle")
        ->check(CLI::Range(Index{-1}, Index{1} << 24))
        ->capture_default_str();
    for (const PolicyEntry& entry : all_policies())
        for (const OwnOption& own : entry.own_options)
            app.add_option_function<double>(
                   concat("--", own.name),
                   [&options, name = own.name](double value) { options.own[name] = value; },
                   concat(entry.name, ": ", own.text))
                ->check(cli::number_between(own.least, own.most))
                ->default_str(concat(own.value));
    app.add_option("--policy-seed", options.seed, "of random, random-fixed and keyformer")
        ->capture_default_str();
}

void add_text_flags(CLI::App& app, TextFlags& flags) {
    app.add_option("--text", flags.texts, "texts to run, a list: the windows are shared out")
        ->delimiter(',')
        ->transform(cli::text_file());
    cli::add_count(app, "--window", flags.window, 2, "tokens of a text");
    cli::add_count(app, "--prompt", flags.prompt, 1,
                   "of these, that go in whole; the others are scored");
    cli::add_count(app, "--tokens", flags.tokens, 1, "of the texts, about, in whole windows");
    cli::add_count(app, "--seeds", flags.seeds, 1, "measurements of what is random");
    app.add_option("--baseline", flags.baseline,
                   "row that the others are compared with, window by window")
        ->capture_default_str();
}

void add_choice(CLI::App& app,
                std::vector<std::string>& names,
                std::string& set,
                const char* all) {
    CLI::Option* const policies = app.add_option("--policy", names, all)
                                      ->delimiter(',')
                                      ->check(CLI::IsMember(names_of_policies()));
    app.add_option("--set", set,
                   "instead: several of these with options of their own. catalogue: sinks "
                   "4+128 and 4+252, windows, H2O 32+128 and 224+32, PyramidKV, MiniCache; "
                   "minicache: by direction and share retained; pyramid: budgets by layer")
        ->check(CLI::IsMember(names_of_sets()))
        ->excludes(policies);
}

}  // namespace kvlab::app
