// prompt_file.cpp - chapter 7: a prompt is computed once, its pages go into a file, and another
// process goes on from there.
#include <cstdio>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/serving/cache_file.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct PromptFileFlags {
    OpenOptions opened = cli::open_options();
    std::string format = "f32";
    std::shared_ptr<OutputFile> json;
};

struct SavePromptFlags : PromptFileFlags {
    std::string prompt = "In the beginning God created the heaven and the earth.";
    std::shared_ptr<OutputFile> output;
};

struct ResumePromptFlags : PromptFileFlags {
    std::string input;
    SamplingOptions sampling;
    Index steps = 32;
    bool compare = false;
};

// One text's cache, in a pool that has no other.
struct PromptPages {
    PromptPages(const OpenedModel& opened, const std::string& format)
        : pool(opened.decoder.kv_shape(),
               {.pages = blocks_for(opened.model->config.context, kTile),
                .rows = rows_in(find_kv_format(kv_formats(), format))}),
          cache(pool, opened.model->config.context, &opened.model->rope, opened.level) {}

    PagePool pool;
    PagedCache cache;
};

int run_save_prompt(const SavePromptFlags& flags) {
    OpenedModel opened(flags.opened);
    EncodeReport losses;
    const std::vector<Token> prompt = opened.encode(flags.prompt, &losses);
    cli::warn_about_losses(losses);
    PromptPages pages(opened, flags.format);
    Stopwatch watch;
    opened.decoder.forward(pages.cache, prompt);
    const double computed = watch.seconds();
    watch = Stopwatch();
    save_cache(*flags.output, origin_of(opened.file, flags.format), prompt, pages.cache);
    const double saved = watch.seconds();
    const KvBytes bytes = pages.cache.bytes();
    std::printf(
        "%s, %s, %s: %zu tokens\n  computed in %.3f s, saved in %.3f s\n"
        "  %zu pages, %td bytes, of which %td are the tokens'\n",
        opened.model->config.name.c_str(), opened.engine->name().c_str(), flags.format.c_str(),
        prompt.size(), computed, saved, pages.cache.table().size(), bytes.allocated,
        bytes.logical);
    Json json = new_report("step07_serving save", 0);
    json["model"] = opened.model->config.name;
    json["format"] = flags.format;
    json["tokens"] = prompt.size();
    json["bytes"] = bytes.allocated;
    json["seconds_computed"] = computed;
    json["seconds_saved"] = saved;
    write_json(flags.json, json);
    std::fflush(stdout);
    std::cout << "RESULT tokens=" << prompt.size() << " pages=" << pages.cache.table().size()
              << " bytes=" << bytes.allocated << std::endl;
    return cli::kHolds;
}

struct Resumed {
    std::vector<Token> tokens;  // written
    std::string checksum;       // of the rows of logits that they come from
    Finish finish = Finish::running;
};

// The last token of the prompt is computed in any case: its logits are in no page.
Resumed resume(OpenedModel& opened,
               PagedCache& cache,
               std::span<const Token> prompt,
               const ResumePromptFlags& flags,
               cli::TextStream* text) {
    if (cache.next_position() == std::ssize(prompt)) cache.truncate(std::ssize(prompt) - 1);
    Generator generator(opened.decoder);
    generator.add(cache, prompt, flags.steps, flags.sampling);
    generator.set_is_end([&](Token token) { return opened.tokenizer->is_end(token); });
    if (text != nullptr)
        generator.set_on_token(
            [text](Index, Token token, View<const float>) { text->push(token); });
    generator.run();
    const std::span<const Token> written = generator.generated(0);
    return {{written.begin(), written.end()}, generator.checksum().hex(), generator.finish(0)};
}

// Whether a run without the file gives the same logits.
bool compare_anew(OpenedModel& opened,
                  std::span<const Token> prompt,
                  const Resumed& resumed,
                  double loaded,
                  const ResumePromptFlags& flags,
                  Json& json) {
    PromptPages pages(opened, flags.format);
    const Stopwatch watch;
    opened.decoder.forward(pages.cache, prompt);
    const double computed = watch.seconds();
    const Resumed again = resume(opened, pages.cache, prompt, flags, nullptr);
    const bool same = again.checksum == resumed.checksum && again.tokens == resumed.tokens;
    std::printf("  computed anew in %.3f s, %.1f times as long; the same bits: %s\n", computed,
                computed / loaded, cli::verdict(same).c_str());
    json["seconds_computed"] = computed;
    json["same_bits"] = same;
    return same;
}

int run_resume_prompt(const ResumePromptFlags& flags) {
    OpenedModel opened(flags.opened);
    PromptPages pages(opened, flags.format);
    const Stopwatch watch;
    const std::vector<Token> prompt =
        load_cache(flags.input, origin_of(opened.file, flags.format), pages.cache);
    const double loaded = watch.seconds();
    std::printf("%s, %s, %s: %zu tokens from a file in %.3f s\n\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(),
                flags.format.c_str(), prompt.size(), loaded);
    std::fflush(stdout);
    cli::TextStream text(*opened.tokenizer);
    for (const Token token : prompt) text.push(token);
    const Resumed resumed = resume(opened, pages.cache, prompt, flags, &text);
    text.finish();
    std::printf("\n  %zu tokens (%s), checksum of their logits %s\n", resumed.tokens.size(),
                finish_name(resumed.finish), resumed.checksum.c_str());
    Json json = new_report("step07_serving resume", flags.sampling.seed);
    json["model"] = opened.model->config.name;
    json["format"] = flags.format;
    json["prompt"] = prompt.size();
    json["tokens"] = resumed.tokens;
    json["checksum"] = resumed.checksum;
    json["seconds_loaded"] = loaded;
    const bool same =
        !flags.compare || compare_anew(opened, prompt, resumed, loaded, flags, json);
    write_json(flags.json, json);
    std::fflush(stdout);
    std::cout << "RESULT prompt=" << prompt.size() << " tokens=" << resumed.tokens.size()
              << " checksum=" << resumed.checksum << " same="
              << (!flags.compare ? "not_compared"
                  : same         ? "yes"
                                 : "no")
              << std::endl;
    return same ? cli::kHolds : cli::kFails;
}

void add_prompt_file_flags(CLI::App& app, PromptFileFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--format", flags.format, "how keys and values are kept")
        ->check(CLI::IsMember(format_names(kv_formats())))
        ->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

void add_save_prompt_flags(CLI::App& app, SavePromptFlags& flags) {
    add_prompt_file_flags(app, flags);
    cli::add_prompt_flags(app, flags.prompt, "text to compute");
    cli::add_output_flag(app, "-o,--output", flags.output, "the file for its pages")
        ->required();
}

void add_resume_prompt_flags(CLI::App& app, ResumePromptFlags& flags) {
    add_prompt_file_flags(app, flags);
    cli::add_sampling_flags(app, flags.sampling);
    app.add_option("-i,--input", flags.input, "a file that save has written")
        ->check(CLI::ExistingFile)
        ->required();
    cli::add_count(app, "-n,--steps", flags.steps, 0, "tokens to generate");
    app.add_flag("--compare", flags.compare,
                 "compute the prompt as well, and compare every logit");
}

const cli::Subcommand kSavePrompt{
    {.place = 62, .name = "save", .text = "compute a prompt and keep its pages in a file"},
    add_save_prompt_flags,
    run_save_prompt};

const cli::Subcommand kResumePrompt{
    {.place = 63, .name = "resume", .text = "go on with a prompt whose pages are in a file"},
    add_resume_prompt_flags,
    run_resume_prompt};

}  // namespace

}  // namespace kvlab::app
