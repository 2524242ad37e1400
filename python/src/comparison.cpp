#include <optional>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "objects.hpp"

namespace kvlab::python {

namespace {

#define FLOATS "numpy.typing.NDArray[numpy.float32]"

// The C interface's, and for arrays the index of the element.
struct Difference : kvlab_difference {
    std::optional<std::vector<int64_t>> index;
};

std::vector<int64_t> unravelled(int64_t flat, const std::vector<int64_t>& shape) {
    std::vector<int64_t> index(shape.size());
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        index[axis] = flat % shape[axis];
        flat /= shape[axis];
    }
    return index;
}

std::optional<Difference> of_recordings(const Recording& a,
                                        const Recording& b,
                                        double tolerance) {
    Difference d{};
    int status = 0;
    {
        const nb::gil_scoped_release others;
        status = kvlab_compare(a.handle, b.handle, tolerance, &d);
    }
    must(status);
    return d.differ == 0 ? std::nullopt : std::optional(d);
}

std::optional<Difference> of_arrays(nb::handle a, nb::handle b, double tolerance) {
    const FloatsIn left(a, "a", -1), right(b, "b", -1);
    if (left.shape != right.shape)
        throw nb::value_error(("b: expected the shape of a, " + shape_text(left.shape) +
                               ", found " + shape_text(right.shape))
                                  .c_str());
    Difference d{};
    must(kvlab_compare_arrays(left.data, right.data, left.rows(), left.width(), tolerance, &d));
    if (d.differ == 0) return std::nullopt;
    d.index = unravelled(d.position * left.width() + d.element, left.shape);
    return d;
}

std::optional<Difference> first_difference(nb::handle a, nb::handle b, double tolerance) {
    const bool left = nb::isinstance<Recording>(a), right = nb::isinstance<Recording>(b);
    if (left != right)
        throw nb::type_error(
            "first_difference: expected two arrays or two Recordings, found one of each");
    return left ? of_recordings(nb::cast<const Recording&>(a), nb::cast<const Recording&>(b),
                                tolerance)
                : of_arrays(a, b, tolerance);
}

void add(const Recording& recording,
         const std::string& op,
         nb::handle rows,
         int64_t layer,
         std::optional<std::vector<int64_t>> positions) {
    const FloatsIn values(rows, "rows", 2);
    const int64_t R = values.dim(0);
    if (!positions) {
        positions.emplace();
        for (int64_t r = 0; r < R; ++r) positions->push_back(r);
    }
    if (static_cast<int64_t>(positions->size()) != R)
        throw nb::value_error(("positions: expected one for each of " + std::to_string(R) +
                               " rows, found " + std::to_string(positions->size()))
                                  .c_str());
    must(kvlab_recording_add(recording.handle, op.c_str(), layer, positions->data(), R,
                             values.data, values.dim(1)));
}

int64_t steps(const Recording& recording) {
    int64_t count = 0;
    must(kvlab_recording_steps(recording.handle, &count));
    return count;
}

void bind_recording(nb::module_& m) {
    nb::class_<Recording>(
        m, "Recording",
        "What the operators of some steps produced; Recording(head_dim) tells heads apart.\n\n"
        "Give one to Model.logits or Cache.decode, fill one from your own engine with add() "
        "and\n"
        "end_step(), or read a trace that any engine wrote (step03_kvcache/trace_format.md).")
        .def(nb::init<int64_t>(), nb::arg("head_dim") = 0)
        .def_static(
            "read",
            [](const std::string& file_and_run) {
                kvlab_recording read{0};
                must(kvlab_recording_read(file_and_run.c_str(), &read));
                return new Recording(read);
            },
            nb::arg("file_and_run"), nb::rv_policy::take_ownership,
            "The run of a trace: FILE means its first run, FILE#name another.")
        .def("add", &add, nb::arg("op"), nb::arg("rows").none(), nb::arg("layer") = -1,
             nb::arg("positions") = nb::none(),
             nb::sig(
                 "def add(self, op: str, rows: " FLOATS
                 ", layer: int = -1, positions: collections.abc.Sequence[int] | None = None) "
                 "-> None"),
             "One operator of the step that is open: rows [R, width] at the positions [R] of "
             "the\n"
             "text (0 to R - 1 unless given). The format of traces lists the operators.")
        .def(
            "end_step",
            [](const Recording& r, int32_t token) {
                must(kvlab_recording_end_step(r.handle, token));
            },
            nb::arg("token") = -1, "Ends the open step; token: what was chosen from it.")
        .def("__len__", &steps);
}

}  // namespace

void bind_comparison(nb::module_& m) {
    bind_recording(m);
    using D = Difference;
    nb::class_<D>(m, "Difference", "The first number that differs; str() says it on one line.")
        .def_ro("floats", &D::floats, "that were compared")
        .def_ro("differ", &D::differ, "of these, by more than the tolerance")
        .def_ro("left_out", &D::left_out, "operators that one recording alone has")
        .def_ro("max_ulp", &D::max_ulp, "the largest distance, in floats that lie between")
        .def_ro("max_abs", &D::max_abs, "the largest |a - b|")
        .def_prop_ro(
            "index",
            [](const D& d) -> nb::object {
                return d.index ? nb::object(nb::tuple(nb::cast(*d.index))) : nb::none();
            },
            nb::sig("def index(self) -> tuple[int, ...] | None"),
            "of arrays: where it stands, so that a[d.index] is d.a")
        .def_prop_ro("op", [](const D& d) { return std::string(d.op); })
        .def_ro("step", &D::step)
        .def_ro("layer", &D::layer, "-1 outside of the layers")
        .def_ro("head", &D::head, "-1 where heads are not told apart")
        .def_ro("position", &D::position, "of the row; of arrays: the row's number")
        .def_ro("position_b", &D::position_b, "in the second recording")
        .def_ro("element", &D::element, "inside of the head, or of the row")
        .def_ro("a", &D::a)
        .def_ro("b", &D::b)
        .def_ro("ulp", &D::ulp, "between the two")
        .def_ro("relative", &D::relative, "the row's largest |a - b| over its largest |a|")
        .def_prop_ro(
            "likely", [](const D& d) { return std::string(d.likely); },
            "what usually differs first there: a guess")
        .def("__str__", [](const D& d) { return std::string(d.text); })
        .def("__repr__",
             [](const D& d) { return "<kvlab.Difference " + std::string(d.text) + ">"; });
    m.def(
        "first_difference", &first_difference, nb::arg("a").none(), nb::arg("b").none(),
        nb::arg("tolerance") = 0.0,
        nb::sig("def first_difference(a: " FLOATS " | Recording, b: " FLOATS
                " | Recording, tolerance: float = 0.0) -> Difference | None"),
        "The first number in which two arrays or two recordings differ; None if none does.\n\n"
        "tolerance 0: every bit counts. Otherwise two floats differ if |a - b| is more than\n"
        "tolerance times the largest |a| of their row (the last axis), or if one of them "
        "alone\n"
        "is no number. Recordings are compared as far as both go, in what both have.");
}

}  // namespace kvlab::python
