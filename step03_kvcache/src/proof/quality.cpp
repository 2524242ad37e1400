#include <kvlab/kvcache/quality.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/kvcache/judge.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

NextToken::NextToken(std::span<const float> row)
    : logits(row), log_sum(log_sum_exp(row)), likeliest(argmax(row)) {}

double NextToken::bits(Token token) const {
    check(token >= 0 && token < static_cast<Token>(logits.size()), "quality: token ", token,
          " is outside of ", logits.size(), " logits");
    const double own = static_cast<double>(at(logits, token));
    return (log_sum - own) / std::log(2.0);
}

// ANCHOR: kl_bits
double kl_bits(const NextToken& p, const NextToken& q) {
    check(p.logits.size() == q.logits.size(), "quality: rows of ", p.logits.size(), " and ",
          q.logits.size(), " logits");
    double sum = 0;
    for (std::size_t i = 0; i < p.logits.size(); ++i) {
        const double log_p = static_cast<double>(p.logits[i]) - p.log_sum;
        const double log_q = static_cast<double>(q.logits[i]) - q.log_sum;
        sum += std::exp(log_p) * (log_p - log_q);
    }
    return sum / std::log(2.0);
}

// ANCHOR_END: kl_bits

void Shift::add(const NextToken& p, const NextToken& q, Token next) {
    check(!windows.empty(), "quality: a position of no window");
    const double position_kl = kl_bits(p, q), position_bits = q.bits(next);
    const Index same = p.likeliest == q.likeliest ? 1 : 0;
    kl.push_back(position_kl);
    bits += position_bits;
    ++positions;
    agree += same;
    WindowShift& window = windows.back();
    window.kl += position_kl;
    window.bits += position_bits;
    ++window.positions;
    window.agree += same;
    logits.merge(compare_bits(p.logits, q.logits));
}

double Shift::mean_kl() const {
    double sum = 0;
    for (const double one : kl) sum += one;
    return sum / static_cast<double>(positions);
}

double Shift::kl_quantile(double share) const {
    check(!kl.empty() && share >= 0 && share <= 1,
          "quality: no positions, or no share: ", share);
    std::vector<double> sorted = kl;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

bool QualityReport::f32_equals_uncached() const {
    for (const CacheQuality& cache : caches)
        if (cache.format == &formats::f32 &&
            (cache.logits.differ != 0 || cache.bits != uncached_bits))
            return false;
    return true;
}

QualityReport measure_quality(const std::shared_ptr<const Model>& model,
                              Engine& engine,
                              const TextWindows& text,
                              std::span<const Format> formats,
                              Index piece,
                              SimdLevel level) {
    const Index window = text.window(), context = model->config.context;
    check(window <= context, "quality: a window of ", window,
          " does not fit the model's context of ", context);
    check(piece >= 0, "quality: a piece must not be negative, found ", piece);
    const KvShape shape = Decoder(model, engine).kv_shape();
    std::vector<Variant> variants;
    for (const Format format : formats)
        variants.push_back(
            {format->name, model, &engine,
             [=](Index capacity) { return make_cache(format, shape, capacity, level); },
             piece});
    Judgement judged = judge(model, engine, text, variants, level);
    QualityReport report{judged.positions, judged.plain_bits, {}};
    for (std::size_t i = 0; i < variants.size(); ++i)
        report.caches.push_back({std::move(judged.variants[i]), formats[i]});
    return report;
}

}  // namespace kvlab
