#include <kvlab/kvcache/judge.hpp>

#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/compare_window.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

namespace kvlab {

namespace {

void check_model(const Model& model, const Config& plain, Index window) {
    check(window <= model.config.context, "judge: a window of ", window,
          " does not fit the context of ", model.config.context);
    check(model.config.vocab == plain.vocab, "judge: vocabularies of ", plain.vocab, " and ",
          model.config.vocab, " tokens");
}

std::unique_ptr<KvStore> store_of(const Variant& variant,
                                  const Decoder& decoder,
                                  Index window) {
    if (variant.make_store) return variant.make_store(window);
    return std::make_unique<KvCache>(decoder.kv_shape(), window);
}

// One for each model on an engine: its variants run one after the other. Not the plain run's,
// whose rows stay valid meanwhile.
class Decoders {
public:
    Decoder& of(const Variant& variant) {
        for (const auto& [known, decoder] : made_)
            if (known->model == variant.model && known->engine == variant.engine)
                return *decoder;
        made_.emplace_back(&variant, std::make_unique<Decoder>(variant.model, *variant.engine));
        return *made_.back().second;
    }

private:
    std::vector<std::pair<const Variant*, std::unique_ptr<Decoder>>> made_;
};

}  // namespace

Judgement judge(const std::shared_ptr<const Model>& plain,
                Engine& engine,
                const TextWindows& text,
                std::span<const Variant> variants,
                SimdLevel level) {
    const Index window = text.window();
    check_model(*plain, plain->config, window);
    Decoder whole(plain, engine);
    Decoders decoders;
    for (const Variant& variant : variants) {
        check(variant.model != nullptr && variant.engine != nullptr && variant.piece >= 0,
              "judge: ", variant.name, ": no model, no engine or a negative piece");
        check_model(*variant.model, plain->config, window);
    }
    WholeSequence no_cache(whole.kv_shape(), window, level);
    Judgement judgement;
    judgement.positions = text.count() * window;
    judgement.variants.resize(variants.size());
    for (Index w = 0; w < text.count(); ++w) {
        const std::vector<Token> input = text.input(w);
        const std::span<const Token> targets = text.targets(w);
        const std::vector<NextToken> expected = read_window(whole, no_cache, input);
        for (std::size_t i = 0; i < expected.size(); ++i)
            judgement.plain_bits += expected[i].bits(targets[i]);
        for (std::size_t v = 0; v < variants.size(); ++v) {
            Shift& shift = judgement.variants[v];
            Decoder& decoder = decoders.of(variants[v]);
            shift.begin_window();
            compare_window(decoder, *store_of(variants[v], decoder, window), input, targets,
                           expected, variants[v].piece,
                           [&shift](const NextToken& p, const NextToken& q, Token next) {
                               shift.add(p, q, next);
                           });
        }
    }
    return judgement;
}

}  // namespace kvlab
