// Visibility of the symbols that leave the kernel library.
#pragma once

#define SPECTRANS_API __attribute__((visibility("default")))
