#include "workers/transport/tag.h"
