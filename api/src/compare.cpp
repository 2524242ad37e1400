#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include <kvlab/kvcache/diverge.hpp>
#include <kvlab/kvcache/read_trace.hpp>

#include "handles.hpp"

using namespace kvlab;
using namespace kvlab::api;

namespace {

// "...: 0x1.8p-3 and 0x1.9p-3, 1048576 ulp apart; 0.062 of the row's largest"
std::string numbers(const Divergence& d) {
    char text[120];
    std::snprintf(text, sizeof text, "%a and %a, %llu ulp apart; %.2g of the row's largest",
                  static_cast<double>(d.a), static_cast<double>(d.b),
                  static_cast<unsigned long long>(d.ulp), d.relative);
    return text;
}

kvlab_difference told(const Comparison& comparison, Index left_out) {
    kvlab_difference to;
    std::memset(&to, 0, sizeof to);
    to.floats = comparison.all().count;
    to.differ = comparison.beyond();
    to.left_out = left_out;
    to.max_ulp = comparison.all().max_ulp;
    to.max_abs = comparison.all().max_abs;
    to.step = to.layer = to.position = to.position_b = to.head = to.element = -1;
    if (!comparison.first()) return to;
    const Divergence& d = *comparison.first();
    to.step = d.step, to.layer = d.layer, to.head = d.head, to.element = d.index;
    to.position = d.position, to.position_b = d.position_b;
    to.a = d.a, to.b = d.b, to.ulp = d.ulp, to.relative = d.relative;
    copy_text(op_name(d.op), to.op);
    copy_text(describe(d) + ": " + numbers(d), to.text);
    copy_text(likely_cause(d), to.likely);
    return to;
}

void check_tolerance(double tolerance) {
    require(tolerance >= 0 && std::isfinite(tolerance), "tolerance: expected 0 or more, found ",
            tolerance);
}

// The steps of a recording as they are now, and the width of its heads.
std::vector<StepRecord> steps_of(OpenRecording& recording) {
    const std::lock_guard lock(recording.mutex);
    return recording.steps;
}

}  // namespace

int kvlab_compare(kvlab_recording a,
                  kvlab_recording b,
                  double tolerance,
                  kvlab_difference* difference) {
    return guarded("kvlab_compare", [&] {
        require_pointer(difference, "difference");
        check_tolerance(tolerance);
        const auto left = recordings().find(a.id), right = recordings().find(b.id);
        const Index D = std::max(left->head_dim, right->head_dim);
        require(
            std::min(left->head_dim, right->head_dim) == 0 || left->head_dim == right->head_dim,
            "head_dim: ", left->head_dim, " in one recording and ", right->head_dim,
            " in the other");
        std::vector<StepRecord> steps_a = steps_of(*left), steps_b = steps_of(*right);
        require(!steps_a.empty() && !steps_b.empty(), "recordings: ", steps_a.size(), " and ",
                steps_b.size(), " steps, expected at least one in each");
        as(KVLAB_BAD_ARGUMENT, [&] {
            Comparison comparison(D, tolerance);
            Index left_out = 0;
            for (std::size_t i = 0; i < std::min(steps_a.size(), steps_b.size()); ++i) {
                left_out += keep_common(steps_a[i], steps_b[i]);
                comparison.add(steps_a[i], steps_b[i]);
            }
            *difference = told(comparison, left_out);
        });
    });
}

int kvlab_compare_arrays(const float* a,
                         const float* b,
                         int64_t rows,
                         int64_t width,
                         double tolerance,
                         kvlab_difference* difference) {
    return guarded("kvlab_compare_arrays", [&] {
        require_pointer(difference, "difference");
        check_tolerance(tolerance);
        const Index count = require_array(a, "a", {rows, width});
        require_array(b, "b", {rows, width});
        Comparison comparison(0, tolerance);
        if (count > 0) {
            OpRecord left{Op::logits, -1, {}, width, {a, a + count}}, right = left;
            for (Index r = 0; r < rows; ++r) left.positions.push_back(r);
            right.positions = left.positions;
            right.rows.assign(b, b + count);
            comparison.add({left}, {right});
        }
        *difference = told(comparison, 0);
        if (!comparison.first()) return;
        copy_text("array", difference->op);
        difference->likely[0] = '\0';
        copy_text(concat("row ", difference->position, ", element ", difference->element, ": ",
                         numbers(*comparison.first())),
                  difference->text);
    });
}
