/*
** score.c - scores one pair with a packaged model: cc score.c $(pkg-config --cflags --libs qestrel)
*/
#include <qestrel.h>

int main(int count, char **arguments) {
  qe_model *model = qe_model_new();
  if (count != 4 || qe_model_open(model, arguments[1], 0) != QE_OK)
    return fprintf(stderr, "usage: score MODEL.qe SOURCE TRANSLATION\n%s\n", qe_model_error(model)), 1;
  qe_scorer *scorer = qe_scorer_new(model, NULL);
  qe_pair pair = { .source = qe_string(arguments[2]), .translation = qe_string(arguments[3]) };
  float z;
  if (qe_score(scorer, &pair, 1, &z) == QE_OK)
    printf("%.6f\n", (double)z);
  qe_scorer_free(scorer);
  qe_model_free(model);
  return 0;
}
