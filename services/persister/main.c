/* Starts the persister. */
#include "services/persister/settings.h"

int main(int argc, char **argv)
{
    return service_main(&persister_service, argc, argv);
}
