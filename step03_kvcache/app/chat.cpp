// chat.cpp - chapter 3: a conversation. The cache keeps what was said: each turn feeds
// only the new.
#include <cstdio>
#include <optional>

#include <kvlab/attention/generate.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/weights/chat.hpp>

#include "generate.hpp"

namespace kvlab::app {

namespace {

class Chat {
public:
    explicit Chat(const GenerateFlags& flags)
        : flags_(flags),
          opened_(flags.opened),
          format_(*opened_.tokenizer),
          cache_(opened_.decoder.kv_shape(), opened_.model->config.context, opened_.level),
          sampler_(flags.sampling) {
        report_ = new_report("step03_kvcache chat", flags.sampling.seed);
        report_["model"] = opened_.model->config.name;
        report_["engine"] = opened_.engine->name();
        report_["system"] = flags.system_given ? flags.system : format_.default_system();
        report_["turns"] = Json::array();
    }

    // One message and its reply; false when the context is full, and the conversation over.
    bool turn(const std::string& said);

    void finish();

private:
    Finish reply(Json& turn);

    const GenerateFlags& flags_;
    OpenedModel opened_;
    ChatFormat format_;
    KvCache cache_;
    Sampler sampler_;  // one for all replies: the second does not repeat the first's dice
    std::vector<Token> text_;  // the transcript, as the template writes it
    Checksum checksum_;        // of the replies' checksums
    Json report_;
};

bool Chat::turn(const std::string& said) {
    EncodeReport losses;
    std::vector<Token> text = text_;
    if (text.empty()) {
        std::vector<ChatMessage> messages;
        if (flags_.system_given) messages.push_back({"system", flags_.system});
        messages.push_back({"user", said});
        text = format_.encode(messages, true, &losses);
    } else {
        format_.end_reply(text);
        format_.append_message({"user", said}, text, &losses);
        format_.append_generation_prompt(text);
    }
    cli::warn_about_losses(losses);
    Json turn;
    turn["user"] = said;
    Finish finish = Finish::context_full;  // a message that does not fit gets no reply
    turn["reply"] = "";
    turn["tokens"] = Json::array();
    if (std::ssize(text) <= opened_.model->config.context) {
        text_ = std::move(text);
        finish = reply(turn);
    }
    turn["finish"] = finish_name(finish);
    report_["turns"].push_back(turn);
    if (finish != Finish::context_full) return true;
    std::cerr << "note: the context of " << opened_.model->config.context
              << " tokens is full\n";
    return false;
}

// The transcript's tokens that the cache has not seen go in, the reply comes out and is added.
Finish Chat::reply(Json& turn) {
    const auto seen = usize(cache_.next_position());
    const std::span<const Token> unseen = std::span(text_).subspan(seen);
    // All but the last in pieces; the generator feeds what is left.
    if (flags_.chunk > 0 && std::ssize(unseen) > flags_.chunk)
        prefill(opened_.decoder, cache_, unseen.first(unseen.size() - 1), flags_.chunk);
    Generator generator(opened_.decoder);
    generator.add(cache_, text_, flags_.steps, std::move(sampler_));
    generator.set_is_end([&](Token token) { return opened_.tokenizer->is_end(token); });
    cli::TextStream stream(*opened_.tokenizer);
    generator.set_on_token([&](Index, Token token, View<const float>) { stream.push(token); });
    generator.run();
    stream.finish();
    sampler_ = generator.sampler(0);
    text_.assign(generator.tokens(0).begin(), generator.tokens(0).end());
    checksum_.add_bits(static_cast<std::uint32_t>(generator.checksum().value()));
    checksum_.add_bits(static_cast<std::uint32_t>(generator.checksum().value() >> 32));
    std::string reply;
    for (const Token token : generator.generated(0))
        if (!opened_.tokenizer->is_end(token)) reply += opened_.tokenizer->piece(token);
    turn["reply"] = reply;
    turn["tokens"] = generator.generated(0);
    return generator.finish(0);
}

void Chat::finish() {
    report_["transcript"] = text_;
    report_["cache_bytes_held"] = cache_.bytes().logical;
    report_["checksum"] = checksum_.hex();
    write_json(flags_.json, report_);
    std::cout << "RESULT tokens=" << text_.size() << " cache_bytes=" << cache_.bytes().logical
              << " checksum=" << checksum_.hex() << std::endl;
}

// The next line that the user says; nothing at the end of input and for an empty line.
std::optional<std::string> next_line(bool terminal) {
    if (terminal) std::cout << "> " << std::flush;
    std::string said;
    if (!std::getline(std::cin, said)) return std::nullopt;
    if (said.ends_with('\r')) said.pop_back();  // a file from Windows
    if (said.empty()) return std::nullopt;
    return said;
}

}  // namespace

int run_chat(const GenerateFlags& flags) {
    Chat chat(flags);
    const bool terminal = isatty(STDIN_FILENO) != 0;
    if (flags.prompt_given) {
        chat.turn(flags.prompt);
    } else {
        if (terminal) std::cout << "An empty line or the end of input ends the conversation.\n";
        while (const std::optional<std::string> said = next_line(terminal))
            if (!chat.turn(*said)) break;
    }
    chat.finish();
    return cli::kHolds;
}

}  // namespace kvlab::app
