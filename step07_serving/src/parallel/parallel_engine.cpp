#include <kvlab/serving/parallel_engine.hpp>

#include <algorithm>
#include <typeinfo>

#include "rank_matrix.hpp"
#include "split_sums.hpp"
#include "travel.hpp"

namespace kvlab {

namespace {

const RankMatrix& rank_matrix_of(const Matrix& matrix) {
    if (typeid(matrix) != typeid(RankMatrix)) [[unlikely]]
        throw Error("parallel engine: this matrix belongs to another engine");
    return static_cast<const RankMatrix&>(matrix);
}

class ParallelEngine final : public WrappedEngine {
public:
    ParallelEngine(std::unique_ptr<Engine> engine,
                   Ranks& ranks,
                   const ParallelPlan& plan,
                   SumWay way)
        : WrappedEngine(std::move(engine)),
          ranks_(ranks),
          plan_(plan),
          way_(way),
          share_(plan_.share(ranks.rank())),
          vocab_(plan_.all(&RankShare::vocab)),
          travel_(inner(), ranks),
          sums_(inner(), travel_, plan, way),
          rows_(inner()) {
        check(inner().host_memory(), "parallel engine: ", inner().name(),
              ": its memory is not the caller's to send");
    }

    std::string name() const override {
        return concat("rank ", ranks_.rank(), " of ", ranks_.size(), ", ",
                      WrappedEngine::name());
    }

    std::unique_ptr<Matrix> load_matrix(std::span<const TensorInfo* const> parts) override {
        return load_rank_matrix(inner(), plan_, ranks_.rank(), way_, parts);
    }

    void gather(const Matrix& table,
                std::span<const Token> tokens,
                const View<float>& x) override;
    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override;
    void rotate(const View<float>& heads,
                const RopeTable* table,
                std::span<const Index> positions,
                float factor) override;
    void swiglu(const View<const float>& gate_up, const View<float>& hidden) override;
    void gelu(const View<const float>& x, const View<float>& y) override;

private:
    Ranks& ranks_;
    ParallelPlan plan_;
    SumWay way_;
    RankShare share_;
    std::vector<Range> vocab_;  // [ranks]
    Travel travel_;
    SplitSums sums_;
    Scratch rows_;
};

// ANCHOR: gather
// Each rank looks up the tokens that it has. Their rows travel to all in rank order, and then
// go back to the order of the text.
void ParallelEngine::gather(const Matrix& table,
                            std::span<const Token> tokens,
                            const View<float>& x) {
    const RankMatrix& rows = rank_matrix_of(table);
    if (rows.role == Role::whole) return inner().gather(*rows.pieces[0].matrix, tokens, x);
    const Index C = rows.depth();
    check_shape(x, {std::ssize(tokens), C}, "gather: x");
    std::vector<Token> mine;
    std::vector<Index> order, counts;
    for (const Range& range : vocab_) {
        const std::size_t before = order.size();
        for (Index t = 0; t < std::ssize(tokens); ++t)
            if (range.contains(at(tokens, t))) order.push_back(t);
        counts.push_back(static_cast<Index>(order.size() - before) * C);
    }
    check(order.size() == tokens.size(), "gather: a token outside of the vocabulary");
    for (const Token token : tokens)
        if (share_.vocab.contains(token))
            mine.push_back(token - static_cast<Token>(share_.vocab.first));
    const View<float> own = rows_.rows(std::ssize(mine), C);
    if (!mine.empty()) inner().gather(*rows.pieces[0].matrix, mine, own);
    const std::span<const float> all =
        travel_.gather(std::span<const float>(own.data(), mine.size() * usize(C)), counts);
    for (std::size_t i = 0; i < order.size(); ++i)
        std::copy_n(all.data() + static_cast<Index>(i) * C, C, &x(order[i], 0));
}

// ANCHOR_END: gather

// ANCHOR: linear
void ParallelEngine::linear(const Matrix& w,
                            const float* bias,
                            const View<const float>& x,
                            const View<float>& y) {
    const RankMatrix& matrix = rank_matrix_of(w);
    if (matrix.role == Role::from_heads || matrix.role == Role::from_hidden)
        return sums_.linear(matrix, bias, x, y);
    for (const Piece& piece : matrix.pieces)
        inner().linear(*piece.matrix, bias == nullptr ? nullptr : bias + piece.part.first, x,
                       y.slice(1, piece.place, piece.place + piece.part.count));
    if (matrix.role == Role::vocabulary) travel_.gather_columns(vocab_, y, y);
}

// ANCHOR_END: linear

// Queries or keys: their number says which. Where there are equally many, both are split alike.
void ParallelEngine::rotate(const View<float>& heads,
                            const RopeTable* table,
                            std::span<const Index> positions,
                            float factor) {
    const bool queries = heads.dim(1) == plan_.config().heads;
    check(queries || heads.dim(1) == plan_.config().kv_heads, "parallel engine: ", heads.dim(1),
          " heads are neither the queries nor the keys of this model");
    const Range& own = queries ? share_.heads : share_.kv_heads;
    if (own.count > 0)
        inner().rotate(heads.slice(1, own.first, own.end()), table, positions, factor);
}

void ParallelEngine::swiglu(const View<const float>& gate_up, const View<float>& hidden) {
    const Range& own = share_.ffn;
    if (own.count > 0)
        inner().swiglu(gate_up.slice(1, 0, 2 * own.count),
                       hidden.slice(1, own.first, own.end()));
}

void ParallelEngine::gelu(const View<const float>& x, const View<float>& y) {
    const Range& own = share_.ffn;
    if (own.count > 0) inner().gelu(x.slice(1, 0, own.count), y.slice(1, own.first, own.end()));
}

}  // namespace

std::unique_ptr<Engine> make_parallel_engine(std::unique_ptr<Engine> engine,
                                             Ranks& ranks,
                                             const ParallelPlan& plan,
                                             SumWay way) {
    check(plan.ranks() == ranks.size(), "parallel engine: a plan for ", plan.ranks(),
          " ranks, there are ", ranks.size());
    return std::make_unique<ParallelEngine>(std::move(engine), ranks, plan, way);
}

}  // namespace kvlab
