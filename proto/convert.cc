#include "proto/convert.h"
