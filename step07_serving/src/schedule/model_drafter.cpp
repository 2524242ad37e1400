// Guesses of a smaller model, which reads every text that it guesses for.
#include <algorithm>
#include <map>

#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/serving/drafts.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

constexpr Index kPiece = 256;  // tokens of a text that are read at once

class ModelDrafter final : public Drafter {
public:
    ModelDrafter(std::shared_ptr<const Model> model, Engine& engine)
        : decoder_(std::move(model), engine) {}

    const char* name() const override { return "model"; }

    void guess(Index text,
               std::span<const Token> tokens,
               Index count,
               std::vector<Token>& to) override {
        const Index context = decoder_.config().context, n = std::ssize(tokens);
        count = std::min(count, context - n + 1);  // the last guess is not fed
        if (count < 1) return;
        Read& read = reads_.try_emplace(text, decoder_.kv_shape(), context).first->second;
        go_back(read, tokens);
        read.tokens.assign(tokens.begin(), tokens.end());
        View<const float> logits = prefill(
            decoder_, read.cache, tokens.subspan(usize(read.cache.next_position())), kPiece);
        for (;;) {
            const auto token = static_cast<Token>(argmax(logits.flat()));
            to.push_back(token);
            if (--count == 0) return;
            logits = decoder_.forward(read.cache, {&token, 1});
            read.tokens.push_back(token);
        }
    }

    void forget(Index text) override { reads_.erase(text); }

private:
    struct Read {
        KvCache cache;
        std::vector<Token> tokens = {};  // the cache holds a beginning of them

        Read(const KvShape& shape, Index capacity) : cache(shape, capacity) {}
    };

    // Back to the common beginning of what was read and the text, which is where the first
    // wrong guess was. The text's last token is read again in any case: its logits are wanted.
    static void go_back(Read& read, std::span<const Token> tokens) {
        const Index most = std::min(read.cache.next_position(), std::ssize(tokens) - 1);
        const auto end = read.tokens.begin() + most;
        const auto differ = std::mismatch(read.tokens.begin(), end, tokens.begin()).first;
        read.cache.truncate(differ - read.tokens.begin());
    }

    Decoder decoder_;
    std::map<Index, Read> reads_;
};

}  // namespace

std::unique_ptr<Drafter> make_model_drafter(std::shared_ptr<const Model> model,
                                            Engine& engine) {
    return std::make_unique<ModelDrafter>(std::move(model), engine);
}

}  // namespace kvlab
