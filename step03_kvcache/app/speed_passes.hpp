// speed_passes.hpp - chapter 3: what `speed` times besides decode_pass.hpp's tokens one by one:
// a prompt in one step.
#pragma once

#include <memory>
#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/kvcache/decode_pass.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

namespace kvlab::app {

struct SpeedFlags {
    OpenOptions opened = cli::open_options();
    Index prefill = 128, context = 0, tokens = 128, batch = 1;
    Index rounds = 5, warm_up = 1;
    double seconds = 0.2;  // that a round lasts at least
    bool all_logits = false, wait = false;
    std::shared_ptr<OutputFile> json;
    bool json_on_standard_output = false;  // --json -
};

// A whole prompt in one step.
class PrefillPass {
public:
    PrefillPass(OpenedModel& opened, const SpeedFlags& flags)
        : opened_(opened),
          text_(race_text(0, flags.prefill, opened.model->config.vocab)),
          logits_(flags.all_logits ? LogitsOf::all : LogitsOf::last),
          cache_(opened.decoder.kv_shape(), flags.prefill, opened.level) {}

    Index tokens() const { return std::ssize(text_); }

    Index cache_bytes() const { return cache_.bytes().allocated; }

    double seconds() {
        cache_.reset();
        const Stopwatch watch;
        const View<const float> logits = opened_.decoder.forward(cache_, text_, logits_);
        chosen_.assign(1, static_cast<Token>(argmax(logits[logits.dim(0) - 1].flat())));
        return watch.seconds();
    }

    const std::vector<Token>& chosen() const { return chosen_; }

private:
    OpenedModel& opened_;
    std::vector<Token> text_;
    LogitsOf logits_;
    KvCache cache_;
    std::vector<Token> chosen_;
};

// A plain cache for each sequence of a generation.
inline std::vector<std::unique_ptr<KvStore>> plain_caches(const OpenedModel& opened,
                                                          const SpeedFlags& flags) {
    std::vector<std::unique_ptr<KvStore>> caches;
    for (Index s = 0; s < flags.batch; ++s)
        caches.push_back(std::make_unique<KvCache>(opened.decoder.kv_shape(),
                                                   flags.context + flags.tokens, opened.level));
    return caches;
}

}  // namespace kvlab::app
