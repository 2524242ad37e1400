// Attention over all earlier tokens, as the decoder of chapter 2 has it: every token leaves a
// key and a value per KV head behind. With as many KV heads as query heads it is called
// multi-head attention, with one multi-query attention (Shazeer 2019), between the two grouped
// queries (Ainslie et al. 2023). The three are one piece of code.
#include <kvlab/architectures/grouped_attention.hpp>
#include <kvlab/attention/attention.hpp>

namespace kvlab {

namespace {

class RowsState final : public KvState {
public:
    RowsState(Index kv_heads, Index head_dim, const StateOptions& options)
        : options_(options), tiles_(options.capacity, kv_heads, head_dim) {}

    void write(Index position,
               const View<const float>& k,
               const View<const float>& v) override {
        tiles_.write(position, k, v);
    }

    AttentionWork attend(ThreadPool& pool,
                         const View<const float>& q,
                         Index position,
                         const View<float>& out) const override {
        return attend_tiles(options_.level, pool, q, tiles_, position, out);
    }

    void dropped(Index length) noexcept override { length_ = length; }

    void closed(Index length) override { length_ = length; }

    std::unique_ptr<MixerState> copied() const override {
        auto copy = std::make_unique<RowsState>(tiles_.kv_heads(), tiles_.head_dim(), options_);
        copy->tiles_.copy_from(tiles_, length_);
        copy->length_ = length_;
        return copy;
    }

    KvBytes bytes(Index length) const override {
        return {tiles_.held_bytes(length), tiles_.allocated_bytes()};
    }

private:
    StateOptions options_;
    KvTiles tiles_;  // slots are positions
    Index length_ = 0;
};

class Attention final : public GroupedAttention {
public:
    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    Attention(const Config& c, std::unique_ptr<Matrix> in, std::unique_ptr<Matrix> out)
        : GroupedAttention(c, std::move(in), std::move(out)) {}

    std::unique_ptr<MixerState> make_state(const StateOptions& options) const override {
        return std::make_unique<RowsState>(config().kv_heads, config().head_dim, options);
    }

    Index state_bytes(Index length) const override {
        // SOLUTION-BEGIN 8.1
        return length * token_bytes();
        // SOLUTION-END 8.1
    }
};

// Throws Error unless a layer that is called `mixer` has as many KV heads as its name says.
void check_kv_heads(const MixerPlan& plan, std::string_view mixer) {
    const Config& c = plan.config;
    const Index expected = mixer == "mha" ? c.heads : mixer == "mqa" ? 1 : c.kv_heads;
    check(c.kv_heads == expected, plan.metadata.source(), ": layer ", plan.layer, " is '",
          mixer, "', which has ", expected, " KV heads, but ",
          "kvlab.attention.head_count_kv is ", c.kv_heads);
}

std::unique_ptr<Mixer> Attention::load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix) {
    const Config& c = plan.config;
    check_kv_heads(plan, at(plan.metadata.get_strings("kvlab.mixers"), plan.layer));
    return std::make_unique<Attention>(c, load.stacked(prefix, parts(c), c.dim),
                                       load_output(c, load, prefix));
}

constexpr MixerEntry kAttention[] = {
    {
        .place = 10,
        .name = "mha",
        .idea = "attention, a key and a value for every query head",
        .paper = "Vaswani et al. 2017",
        .tensors = Attention::tensors,
        .load = Attention::load,
        .readable = true,
    },
    {
        .place = 11,
        .name = "gqa",
        .idea = "attention, groups of query heads share a key and a value",
        .paper = "Ainslie et al. 2023",
        .tensors = Attention::tensors,
        .load = Attention::load,
        .readable = true,
    },
    {
        .place = 12,
        .name = "mqa",
        .idea = "attention, all query heads share a key and a value",
        .paper = "Shazeer 2019",
        .tensors = Attention::tensors,
        .load = Attention::load,
        .readable = true,
    },
};

}  // namespace

std::span<const MixerEntry> mixers_of_attention() {
    return kAttention;
}

}  // namespace kvlab
