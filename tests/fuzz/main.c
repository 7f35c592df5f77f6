#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Replays files, or all files of directories, through a fuzz target: what a crash once was
 * stays in the corpus and runs under make check with any compiler. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int
replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = NULL;
	size_t n = 0;
	struct stat st;
	int rc = -1;

	if (f && fstat(fileno(f), &st) == 0 && (p = malloc((size_t)st.st_size + 1))) {
		n = fread(p, 1, (size_t)st.st_size, f);
		/* a copy of exactly n bytes, so that a sanitizer sees what lies beyond */
		p = realloc(p, n ? n : 1);
		rc = ferror(f) || !p ? -1 : 0;
		if (rc == 0)
			LLVMFuzzerTestOneInput(p, n);
	}
	if (rc < 0)
		fprintf(stderr, "cannot read %s\n", path);
	free(p);
	if (f)
		fclose(f);
	return rc;
}

static int
replay_all(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort), i, rc = 0;
	char path[4096];

	if (n < 0)
		return replay(dir);
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && replay(path) < 0)
			rc = -1;
		free(names[i]);
	}
	free(names);
	return rc;
}

int
main(int argc, char **argv)
{
	int i, rc = 0;

	for (i = 1; i < argc; i++)
		if (replay_all(argv[i]) < 0)
			rc = 1;
	return rc;
}
