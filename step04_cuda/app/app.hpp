// app.hpp - chapter 4: the subcommands of step04_cuda. Each returns an exit code.
#pragma once

namespace kvlab::app {

// The executor: a right kernel's counters, a wrong one's report, and the GPU if there is one.
int run_simt();

}  // namespace kvlab::app
