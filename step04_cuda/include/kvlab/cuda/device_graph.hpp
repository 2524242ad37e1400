// device_graph.hpp - chapter 4: launches that are recorded once and then started together,
// again and again. On a GPU the host names a hundred kernels by one call, and has no part in
// what happens between two of them.
//
//   DeviceGraph step;
//   step.record([&] { launch(first, ...); launch(second, ...); });   // nothing runs
//   step.launch();                                                   // both run, in order
//
// The arguments are those of the recording: a pointer stays, what it points to may change.
// While a graph is recorded, whatever would wait for the device, or give out or take back its
// memory, is an Error in both worlds: a copy, a synchronisation, an allocation, a free.
#pragma once

#include <functional>
#include <vector>

#include <kvlab/cuda/device.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

class DeviceGraph {
public:
    DeviceGraph() = default;
    ~DeviceGraph();
    DeviceGraph(const DeviceGraph&) = delete;
    DeviceGraph& operator=(const DeviceGraph&) = delete;

    // Runs `launches` and keeps what it launches, in the place of what was recorded before.
    // Throws Error if it does what a recording must not, or another graph is being recorded;
    // then the graph is empty.
    void record(const std::function<void()>& launches);

    // Starts all of it, behind the launches before it. Under the executor it is run
    // with the checks that hold now. Throws Error if the graph is empty, was recorded on the
    // other device, or if a graph is being recorded.
    void launch();

    // How many launches were recorded.
    Index size() const { return size_; }

private:
    void clear();

    std::vector<std::function<void()>> launches_;  // the executor's
    void* on_gpu_ = nullptr;
    Index size_ = 0;
    Device device_ = Device::executor;
};

}  // namespace kvlab
