#include "workers/model/trainer.h"
