// memory.cpp - chapter 5: the bytes that each policy holds, by length: as the stores say, and
// in closed form. They have to be equal.
#include <algorithm>
#include <cstdio>

#include <kvlab/kvcache/subject.hpp>
#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

struct MemoryFlags {
    OpenOptions opened = cli::open_options("tiny-shape");
    PolicyOptions policy;
    std::vector<std::string> names;
    std::string set;
    std::vector<Index> lengths = {128, 256, 512, 1024};
    Index prompt = 64;
    std::shared_ptr<OutputFile> json;
};

// A policy holds the same bytes whatever the text. One that has to know the text beforehand is
// left out.
std::vector<Contender> weighed(const MemoryFlags& flags, const Config& config) {
    std::vector<std::string> names = flags.names;
    if (names.empty()) names = names_of_policies();
    std::erase_if(names,
                  [](const std::string& name) { return find_policy(name).looks_ahead(); });
    std::vector<Contender> all = contenders(flags.set, names, flags.policy);
    std::erase_if(all,
                  [&](const Contender& one) { return !find_policy(one.policy).runs(config); });
    return all;
}

// Behind a prompt of its own, the rest of the longest text in pieces that end at each length.
bool weigh_policy(
    Subject& model, const MemoryFlags& flags, const Contender& one, int width, Json& report) {
    const KvShape shape = model.decoder().kv_shape();
    const std::vector<Token> text = model.random_text(flags.lengths.back());
    PolicyContext context = policy_context(model.decoder(), flags.lengths.back());
    context.level = model.level();
    context.prompt = flags.prompt;
    const auto store = find_policy(one.policy).make(context, one.options);
    bool equal = true;
    for (const Index length : flags.lengths) {
        while (store->next_position() < length) {
            const Index seen = store->next_position();
            const Index piece = seen == 0 ? std::min(flags.prompt, length) : 1;
            model.decoder().forward(*store, std::span(text).subspan(usize(seen), usize(piece)));
        }
        const KvBytes bytes = store->bytes();
        const Index form = policy_bytes(one.policy, one.options, shape, flags.prompt, length),
                    full = full_bytes(shape, length);
        equal = equal && bytes.logical == form;
        const double kept = static_cast<double>(bytes.logical) / static_cast<double>(full);
        std::printf("  %-*s %6td %9.1f %10td %10td %6s %10td %7.3f %8.3f %7.2f\n", width,
                    one.label.c_str(), length, store->mean_kept(), bytes.logical, form,
                    bytes.logical == form ? "yes" : "NO", bytes.allocated, kept, 1 - kept,
                    1 / kept);
        report["rows"].push_back({{"policy", one.label},
                                  {"length", length},
                                  {"kept_tokens", store->mean_kept()},
                                  {"bytes_held", bytes.logical},
                                  {"closed_form", form},
                                  {"bytes_allocated", bytes.allocated},
                                  {"full_bytes", full}});
    }
    std::fflush(stdout);
    return equal;
}

int run_policy_memory(const MemoryFlags& flags) {
    Subject model(flags.opened);
    for (std::size_t i = 0; i < flags.lengths.size(); ++i)
        check(i == 0 || flags.lengths[i] > flags.lengths[i - 1],
              "--lengths: expected a list that rises, found ", flags.lengths[i]);
    cli::check_fits("--lengths", flags.lengths.back(), model.config());
    std::printf("%s: a prompt of %td tokens, then one by one\n", model.config().name.c_str(),
                flags.prompt);
    const std::vector<Contender> all = weighed(flags, model.config());
    const int width = label_width(all);
    std::printf("  %-*s %6s %9s %10s %10s %6s %10s %7s %8s %7s\n", width, "policy", "seen",
                "kept", "bytes", "by form", "equal", "allocated", "kept", "removed", "factor");
    Json report = new_report("step05_policies memory", 42);
    report["model"] = model.config().name;
    report["prompt"] = flags.prompt;
    report["budget"] = flags.policy.budget;
    bool equal = true;
    for (const Contender& one : all)
        equal = weigh_policy(model, flags, one, width, report) && equal;
    std::printf(
        "  Three conventions of \"ratio\": the share kept (H2O's 20 %%), the share removed "
        "(what\n"
        "  others call compression ratio), the full cache over this one (MiniCache's 1.53x).\n"
        "  All are of bytes, against keys and values alone of every token.\n");
    report["equal"] = equal;
    write_json(flags.json, report);
    std::cout << "RESULT rows=" << report["rows"].size() << " equal=" << (equal ? "yes" : "no")
              << std::endl;
    return equal ? cli::kHolds : cli::kFails;
}

void add_memory_flags(CLI::App& app, MemoryFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    add_policy_flags(app, flags.policy);
    add_choice(app, flags.names, flags.set);
    cli::add_count(app, "--lengths", flags.lengths, {1, 1 << 20},
                   "tokens seen, a list that rises");
    cli::add_count(app, "--prompt-tokens", flags.prompt, {1, 1 << 20},
                   "tokens that go in whole");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kMemory{
    {.place = 60,
     .name = "memory",
     .text = "bytes that each policy holds, by length, against the closed form"},
    add_memory_flags,
    run_policy_memory};

}  // namespace

}  // namespace kvlab::app
