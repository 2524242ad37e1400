#include "objects.hpp"

#include <cstring>
#include <stdexcept>

namespace kvlab::python {

namespace {

// nanobind makes an exception of Python for each; what is thrown is always Python's.
struct Failed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct NoRoom : Failed {
    using Failed::Failed;
};

struct BadFile : Failed {
    using Failed::Failed;
};

PyObject *failed = nullptr, *no_room = nullptr, *bad_file = nullptr;

}  // namespace

void must(int status) {
    if (status == KVLAB_OK) return;
    // "kvlab_cache_decode: tokens: ..." without the name of the C function.
    const char* text = kvlab_last_error();
    if (const char* const colon = std::strstr(text, ": ")) text = colon + 2;
    PyErr_SetString(status == KVLAB_BAD_ARGUMENT ? PyExc_ValueError
                    : status == KVLAB_NO_ROOM    ? no_room
                    : status == KVLAB_BAD_FILE   ? bad_file
                                                 : failed,
                    text);
    throw nb::python_error();
}

}  // namespace kvlab::python

NB_MODULE(_kvlab, m) {
    using namespace kvlab::python;
    m.doc() = "The functions of the package kvlab, on top of its C interface.";
    failed = nb::exception<Failed>(m, "Error", PyExc_RuntimeError).ptr();
    no_room = nb::exception<NoRoom>(m, "NoRoom", failed).ptr();
    bad_file = nb::exception<BadFile>(m, "BadFile", failed).ptr();
    bind_comparison(m);
    bind_model(m);
}
