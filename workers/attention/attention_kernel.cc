#include "workers/attention/attention_kernel.h"
