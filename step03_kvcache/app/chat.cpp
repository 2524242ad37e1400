// chat.cpp - chapter 3: a conversation. The cache keeps what was said: each turn feeds only the
// new.
#include <cstdio>

#include <kvlab/attention/generate.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/weights/chat.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

// One reply: the tokens so far go in (those that the cache has not seen), the reply comes out
// and is appended to `text`.
Finish reply(Session& session,
             KvCache& cache,
             std::vector<Token>& text,
             const GenerateFlags& flags,
             Checksum& checksum) {
    Generator generator(session.decoder);
    generator.add(cache, text, flags.steps, flags.sampling);
    generator.set_is_end([&](Token token) { return session.tokenizer->is_end(token); });
    cli::TextStream stream(*session.tokenizer);
    generator.set_on_token([&](Index, Token token, View<const float>) { stream.push(token); });
    generator.run();
    stream.finish();
    text.assign(generator.tokens(0).begin(), generator.tokens(0).end());
    checksum.add_bits(static_cast<std::uint32_t>(generator.checksum().value()));
    checksum.add_bits(static_cast<std::uint32_t>(generator.checksum().value() >> 32));
    return generator.finish(0);
}

}  // namespace

int run_chat(const GenerateFlags& flags) {
    Session session(flags.session);
    const ChatFormat format(*session.tokenizer);
    KvCache cache(session.decoder.kv_shape(), session.model->config.context, session.level);
    std::vector<Token> text;
    Checksum checksum;
    const bool terminal = isatty(STDIN_FILENO) != 0;
    if (!flags.prompt_given && terminal)
        std::cout << "An empty line or the end of input ends the conversation.\n";
    for (Index turn = 0;; ++turn) {
        std::string said = flags.prompt;
        if (!flags.prompt_given) {
            if (terminal) std::cout << "> " << std::flush;
            if (!std::getline(std::cin, said) || said.empty()) break;
        }
        EncodeReport losses;
        const ChatMessage message{"user", said};
        if (turn == 0) {
            text = format.encode({&message, 1}, true, &losses);
        } else {
            format.append_after_reply(text);
            format.append_message(message, text, &losses);
            format.append_generation_prompt(text);
        }
        cli::warn_about_losses(losses);
        const Finish finish = reply(session, cache, text, flags, checksum);
        if (finish == Finish::context_full) {
            std::cerr << "note: the context of " << session.model->config.context
                      << " tokens is full\n";
            break;
        }
        if (flags.prompt_given) break;
    }
    std::cout << "RESULT tokens=" << text.size() << " cache_bytes=" << cache.bytes().logical
              << " checksum=" << checksum.hex() << std::endl;
    return cli::kHolds;
}

}  // namespace kvlab::app
