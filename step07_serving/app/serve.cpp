// serve.cpp - chapter 7: the server as a program: a model, a pool, the loop, HTTP around them,
// and an end on SIGTERM that gives every page back.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/serving/decoder_steps.hpp>

#include "http_server.hpp"

namespace kvlab::app {

namespace {

struct ServeFlags {
    OpenOptions opened = cli::open_options();
    HttpOptions http;
    SchedulerOptions scheduler;
    std::string name;
    Index pages = 256, queue = 64, max_tokens = 4096, timeout = 600, grace = 5, drafts = 0;
    bool no_prefixes = false, swap = false, whole_prompts = false;
};

// SIGTERM and SIGINT, waited for instead of handled: a handler may do next to nothing. Blocked
// before any thread is made, so that no thread is interrupted.
class StopSignals {
public:
    StopSignals() {
        sigemptyset(&signals_);
        sigaddset(&signals_, SIGTERM);
        sigaddset(&signals_, SIGINT);
        pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    }

    // A second signal ends the program at once.
    const char* wait() const {
        int signal = 0;
        while (sigwait(&signals_, &signal) != 0) {
        }
        pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
        return signal == SIGINT ? "SIGINT" : "SIGTERM";
    }

private:
    sigset_t signals_;
};

// A template that is not known makes a model that cannot chat; what else it can do, it can.
std::optional<ChatFormat> chat_format(const Tokenizer& tokenizer) {
    if (tokenizer.chat_template().empty()) return std::nullopt;
    try {
        return ChatFormat(tokenizer);
    } catch (const Error& error) {
        cli::print_note(concat(error.what(), "; /v1/chat/completions is left out"));
        return std::nullopt;
    }
}

// What clients ask for: --name, or the model's file without its folder and ending.
std::string served_name(const ServeFlags& flags) {
    if (!flags.name.empty()) return flags.name;
    return std::filesystem::path(flags.opened.model).stem().string();
}

// All that serves, in the order in which it is made.
class Service {
public:
    explicit Service(const ServeFlags& flags)
        : opened_(flags.opened),
          steps_(opened_.decoder, opened_.level),
          pool_(opened_.decoder.kv_shape(), {.pages = flags.pages}),
          prefixes_(flags.no_prefixes ? nullptr : make_radix_index(pool_)),
          drafter_(flags.drafts > 0 ? make_lookup_drafter() : nullptr),
          chat_(chat_format(*opened_.tokenizer)),
          loop_(steps_,
                pool_,
                *opened_.tokenizer,
                loop_options(flags),
                prefixes_.get(),
                drafter_.get()),
          http_(loop_, rules(flags), flags.http) {}

    void start(const std::string& host) {
        std::printf("%s, %s: %td pages of %td tokens, texts of up to %td tokens%s\n",
                    opened_.model->config.name.c_str(), opened_.engine->name().c_str(),
                    pool_.pages(), pool_.page_slots(), longest(),
                    chat_ ? "" : "; it cannot chat");
        http_.start();
        const bool v6 = host.find(':') != std::string::npos;
        std::printf("listening on http://%s%s%s:%td\n", v6 ? "[" : "", host.c_str(),
                    v6 ? "]" : "", http_.port());
        std::fflush(stdout);
    }

    // An exit code; what it says is the server's last word.
    int stop(const char* signal, Index grace) {
        std::printf("%s: no new requests; the others have %td s\n", signal, grace);
        std::fflush(stdout);
        loop_.stop(std::chrono::seconds(grace));
        const bool closed = http_.stop();
        const ServingMetrics m = loop_.metrics();
        Index texts = 0;
        for (const Index ended : m.ended) texts += ended;
        const bool all_free = m.pages_free == m.pages;
        std::printf("pages free %td of %td\n", m.pages_free, m.pages);
        if (!closed) std::fprintf(stderr, "note: a connection did not end in time\n");
        std::printf(
            "RESULT requests=%td texts=%td tokens=%td cached=%td preempted=%td pages=%td "
            "pages_free=%td\n",
            m.accepted, texts, m.written_tokens, m.cached_tokens, m.preempted, m.pages,
            m.pages_free);
        const int code = all_free ? cli::kHolds : cli::kFails;
        if (closed) return code;
        // Its thread still uses what would be destroyed now.
        cli::finish_standard_output();
        std::_Exit(code);
    }

private:
    static LoopOptions loop_options(const ServeFlags& flags) {
        LoopOptions options;
        options.scheduler = flags.scheduler;
        options.scheduler.draft_tokens = flags.drafts;
        options.scheduler.chunked = !flags.whole_prompts;
        options.scheduler.preemption = flags.swap ? Preemption::swap : Preemption::recompute;
        options.queue = flags.queue;
        options.limit = std::chrono::seconds(flags.timeout);
        return options;
    }

    Index longest() const {
        return std::min(opened_.model->config.context, pool_.pages() * pool_.page_slots());
    }

    ApiRules rules(const ServeFlags& flags) const {
        return {.model = served_name(flags),
                .tokenizer = opened_.tokenizer.get(),
                .chat = chat_ ? &*chat_ : nullptr,
                .context = longest(),
                .most_tokens = flags.max_tokens,
                .most_choices = loop_.places(),
                .ends = end_tokens(*opened_.tokenizer)};
    }

    OpenedModel opened_;
    DecoderSteps steps_;
    PagePool pool_;
    std::unique_ptr<PrefixIndex> prefixes_;
    std::unique_ptr<Drafter> drafter_;
    std::optional<ChatFormat> chat_;
    ServingLoop loop_;
    HttpServer http_;
};

int run_serve(const ServeFlags& flags) {
    const StopSignals signals;
    Service service(flags);
    service.start(flags.http.host);
    return service.stop(signals.wait(), flags.grace);
}

void add_serve_flags(CLI::App& app, ServeFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--name", flags.name,
                   "what clients call the model; default: its file's name");
    app.add_option("--host", flags.http.host,
                   "address to listen on; others than this machine "
                   "can reach all but 127.0.0.1")
        ->capture_default_str();
    cli::add_count(app, "--port", flags.http.port, {0, 65535}, "0: any that is free");
    cli::add_count(app, "--pages", flags.pages, {1, Index{1} << 24},
                   "of 64 tokens, in the pool");
    cli::add_count(app, "--max-running", flags.scheduler.max_running, {1, 4096},
                   "texts in a step");
    cli::add_count(app, "--token-budget", flags.scheduler.token_budget, {1, Index{1} << 20},
                   "tokens in a step");
    cli::add_count(app, "--queue", flags.queue, {0, 100000},
                   "texts beyond --max-running; more: status 429");
    cli::add_count(app, "--connections", flags.http.connections, {1, 4096},
                   "answered at a time; more of them wait");
    cli::add_count(app, "--max-body", flags.http.max_body, {1, Index{1} << 30},
                   "bytes of a request; beyond: status 413");
    cli::add_count(app, "--read-timeout", flags.http.read_timeout, {1, 3600},
                   "seconds in which a request must have come in full");
    cli::add_count(app, "--max-tokens", flags.max_tokens, 1,
                   "that may be asked for in one text");
    cli::add_count(app, "--timeout", flags.timeout, {1, 86400},
                   "seconds for a request; then it ends with what it has");
    cli::add_count(app, "--grace", flags.grace, {0, 3600},
                   "seconds that running texts have after SIGTERM");
    cli::add_count(app, "--drafts", flags.drafts, {0, 64}, "guesses in a step, by look-up");
    app.add_flag("--no-prefixes", flags.no_prefixes, "texts share no pages");
    app.add_flag("--swap", flags.swap,
                 "swap a preempted text's pages out; else: recompute them");
    app.add_flag("--whole-prompts", flags.whole_prompts, "feed a prompt in one step");
}

const cli::Subcommand kServe{
    {.place = 60, .name = "serve", .text = "serve OpenAI's API over HTTP, until SIGTERM"},
    add_serve_flags,
    run_serve};

}  // namespace

}  // namespace kvlab::app
