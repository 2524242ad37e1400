#include <kvlab/quant/smooth.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/config.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

// ANCHOR: norm_site
// The tensors [n] whose numbers are an activation's channels, and the matrices that read it.
struct NormSite {
    std::vector<std::string> vectors;
    std::vector<std::string> readers;
};

// ANCHOR_END: norm_site

std::vector<NormSite> norm_sites(const Config& c) {
    std::vector<NormSite> sites;
    const bool gpt2 = c.architecture == Architecture::gpt2;
    for (Index l = 0; l < c.layers; ++l) {
        const std::string blk = concat("blk.", l, ".");
        NormSite attention{{blk + "attn_norm.weight"}, {}}, ffn{{blk + "ffn_norm.weight"}, {}};
        if (gpt2) {
            attention.vectors.push_back(blk + "attn_norm.bias");
            ffn.vectors.push_back(blk + "ffn_norm.bias");
            attention.readers = {blk + "attn_qkv.weight"};
            ffn.readers = {blk + "ffn_up.weight"};
        } else {
            attention.readers = {blk + "attn_q.weight", blk + "attn_k.weight",
                                 blk + "attn_v.weight"};
            ffn.readers = {blk + "ffn_gate.weight", blk + "ffn_up.weight"};
        }
        sites.push_back(std::move(attention));
        sites.push_back(std::move(ffn));
    }
    return sites;
}

using ChannelScales = std::vector<float>;

// Column k of the matrix times by[k].
void scale_columns(EditedWeights& weights, const std::string& name, const ChannelScales& by) {
    Tensor w = to_f32(weights.tensor(name));
    for (Index n = 0; n < w.dim(0); ++n)
        for (Index k = 0; k < w.dim(1); ++k) w(n, k) *= at(by, k);
    weights.replace(name, std::move(w));
}

// Number i of a vector, or row i of a matrix, divided by by[i].
void divide_rows(EditedWeights& weights, const std::string& name, const ChannelScales& by) {
    Tensor w = to_f32(weights.tensor(name));
    const Index width = w.size() / w.dim(0);
    for (Index i = 0; i < w.size(); ++i) w.data()[i] /= at(by, i / width);
    weights.replace(name, std::move(w));
}

// max|w[c]| over the outputs of all these matrices.
ChannelScales column_maxima(const EditedWeights& weights,
                            const std::vector<std::string>& readers) {
    ChannelScales maxima;
    for (const std::string& name : readers) {
        const Tensor w = to_f32(weights.tensor(name));
        maxima.resize(usize(w.dim(1)), 0.0f);
        for (Index n = 0; n < w.dim(0); ++n)
            for (Index k = 0; k < w.dim(1); ++k) {
                float& most = at(maxima, k);
                most = std::max(most, std::fabs(w(n, k)));
            }
    }
    return maxima;
}

}  // namespace

// ANCHOR: smoothing_scale
float smoothing_scale(float x, float w, const SmoothOptions& options) {
    constexpr double kLeast = 1e-5;
    // SOLUTION-BEGIN 6.6
    const double s = std::pow(std::max(static_cast<double>(x), kLeast), options.alpha) /
                     std::pow(std::max(static_cast<double>(w), kLeast), 1 - options.alpha);
    if (options.powers_of_two) return static_cast<float>(std::exp2(std::round(std::log2(s))));
    return static_cast<float>(std::max(s, kLeast));
    // SOLUTION-END 6.6
}

// ANCHOR_END: smoothing_scale

namespace {

// ANCHOR: scales
ChannelScales scales_of(const ChannelScales& inputs,
                        const ChannelScales& columns,
                        const SmoothOptions& options) {
    ChannelScales scales;
    for (std::size_t c = 0; c < inputs.size(); ++c)
        scales.push_back(smoothing_scale(inputs[c], columns[c], options));
    return scales;
}

// Divides what a norm gives, and multiplies what reads it.
void fold(EditedWeights& weights, const NormSite& site, const ChannelScales& scales) {
    // SOLUTION-BEGIN 6.6
    for (const std::string& vector : site.vectors) divide_rows(weights, vector, scales);
    for (const std::string& reader : site.readers) scale_columns(weights, reader, scales);
    // SOLUTION-END 6.6
}

void smooth_norm(EditedWeights& weights,
                 const NormSite& site,
                 const Calibration& seen,
                 const SmoothOptions& options) {
    // SOLUTION-BEGIN 6.6
    const ChannelScales scales = scales_of(seen.of(site.readers[0]).max_abs,
                                           column_maxima(weights, site.readers), options);
    fold(weights, site, scales);
    // SOLUTION-END 6.6
}

// ANCHOR_END: scales

// Channel (h, d) of attention's output is channel (h / group, d) of v.
void smooth_out(EditedWeights& weights,
                const std::string& blk,
                const Config& c,
                const Calibration& seen,
                const SmoothOptions& options) {
    const ChannelScales& inputs = seen.of(blk + "attn_output.weight").max_abs;
    const ChannelScales columns = column_maxima(weights, {blk + "attn_output.weight"});
    const auto place = [&](std::size_t channel) {
        const Index h = static_cast<Index>(channel) / c.head_dim;
        return usize(h / c.group() * c.head_dim + static_cast<Index>(channel) % c.head_dim);
    };
    const auto values = usize(c.kv_heads * c.head_dim);
    ChannelScales x(values, 0.0f), w(values, 0.0f);
    for (std::size_t channel = 0; channel < inputs.size(); ++channel) {
        x[place(channel)] = std::max(x[place(channel)], inputs[channel]);
        w[place(channel)] = std::max(w[place(channel)], columns[channel]);
    }
    const ChannelScales of_values = scales_of(x, w, options);
    ChannelScales of_heads;
    for (std::size_t channel = 0; channel < inputs.size(); ++channel)
        of_heads.push_back(of_values[place(channel)]);
    divide_rows(weights, blk + "attn_v.weight", of_values);
    scale_columns(weights, blk + "attn_output.weight", of_heads);
}

void smooth_down(EditedWeights& weights,
                 const std::string& blk,
                 const Calibration& seen,
                 const SmoothOptions& options) {
    const std::string down = blk + "ffn_down.weight";
    const ChannelScales scales =
        scales_of(seen.of(down).max_abs, column_maxima(weights, {down}), options);
    divide_rows(weights, blk + "ffn_up.weight", scales);
    scale_columns(weights, down, scales);
}

}  // namespace

void smooth(EditedWeights& weights, const Calibration& seen, const SmoothOptions& options) {
    const Config c = Config::from_metadata(weights.metadata());
    check(options.alpha >= 0 && options.alpha <= 1, "smooth: alpha ", options.alpha,
          " is outside of 0 to 1");
    check(!options.inner || c.architecture == Architecture::llama,
          "smooth: gpt2's hidden channels pass a curve; a scale does not");
    for (const NormSite& site : norm_sites(c)) smooth_norm(weights, site, seen, options);
    for (Index l = 0; options.inner && l < c.layers; ++l) {
        const std::string blk = concat("blk.", l, ".");
        smooth_out(weights, blk, c, seen, options);
        smooth_down(weights, blk, seen, options);
    }
}

void inject_outlier(EditedWeights& weights, Index channel, float factor) {
    const Config c = Config::from_metadata(weights.metadata());
    check(channel >= 0 && channel < c.dim, "outlier: channel ", channel,
          " is outside of a width of ", c.dim);
    check(is_finite(factor) && factor > 0, "outlier: a factor of ", factor);
    // As smooth() does, with a scale below 1.
    ChannelScales scales(usize(c.dim), 1.0f);
    at(scales, channel) = 1.0f / factor;
    for (const NormSite& site : norm_sites(c)) fold(weights, site, scales);
}

}  // namespace kvlab
