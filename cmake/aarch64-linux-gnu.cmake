# Toolchain: 64-bit ARM on an x86 Debian or Ubuntu (packages g++-aarch64-linux-gnu and qemu-user); tests run in qemu.
#   cmake -S . -B build/aarch64 --toolchain cmake/aarch64-linux-gnu.cmake -DKVLAB_LAST_STEP=3
# Libraries that are headers alone (doctest, CLI11, nlohmann-json) are this machine's own; step 4 needs Boost for ARM.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
find_program(KVLAB_QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
if(KVLAB_QEMU_AARCH64)
    set(CMAKE_CROSSCOMPILING_EMULATOR ${KVLAB_QEMU_AARCH64} -L /usr/aarch64-linux-gnu)
endif()
