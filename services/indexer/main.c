/* Starts the indexer. */
#include "services/indexer/settings.h"

int main(int argc, char **argv)
{
    return service_main(&indexer_service, argc, argv);
}
