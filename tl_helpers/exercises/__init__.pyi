from .asking import check as check, hint as hint, solution as solution
from .code import CodeExercise as CodeExercise, read_code_exercises as read_code_exercises
from .predictions import compare_prediction as compare_prediction, my_calibration as my_calibration
from .texts import Exercise as Exercise, exercises_file as exercises_file, read_exercises as read_exercises
